. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://127.0.0.1:8080/uuid --expect sticky -n 600
c ug check http://127.0.0.1:8081/uuid --expect sticky -n 600
