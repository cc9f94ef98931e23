. "${CASES:-../..}/lib.sh"
fleet; ng22   # it has auth_request
c ug check http://127.0.0.1:8080/uuid -n 1500 --method POST --body-bytes 20 --format json
