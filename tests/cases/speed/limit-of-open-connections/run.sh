. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check http://127.0.0.1:8080/uuid -n 2000
c ug check http://127.0.0.1:8080/uuid -n 2000 -c 64
