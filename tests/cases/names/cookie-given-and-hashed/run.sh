. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://localhost:8080/uuid --expect cookie -n 2000
c ug check http://localhost:8080/uuid --from nginx.conf -n 2000
c ug check http://localhost:8080/uuid --expect sticky -n 500
