. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check http://127.0.0.1:8080/uuid -n 60
c ug check http://127.0.0.1:8081/uuid -n 300 --expect source
c ug check http://127.0.0.1:8082/uuid -n 300 --expect sticky
