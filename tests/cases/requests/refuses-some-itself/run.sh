. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check http://127.0.0.1:8080/uuid -n 600 --no-experiments --expect status:2xx
