. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://127.0.0.1:8080/uuid -n 1000 --expect source
