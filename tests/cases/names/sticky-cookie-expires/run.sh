. "${CASES:-../..}/lib.sh"
fleet
tr8
c ug check http://127.0.0.1:8080/ --rate 300 --duration 7s
c ug check http://127.0.0.1:8080/ --rate 300 --duration 7s --expect sticky
