. "${CASES:-../..}/lib.sh"
fleet
ng
c ug check http://127.0.0.1:8080/shop http://127.0.0.1:8080/ -n 1200
c ug check http://127.0.0.1:8080/shop http://127.0.0.1:8080/ -n 1200 --expect source
c ug check http://127.0.0.1:8080/shop -n 1200
