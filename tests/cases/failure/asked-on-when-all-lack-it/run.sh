. "${CASES:-../..}/lib.sh"
fleet
ng
ug fault 9001 status:404 >/dev/null
c ug check http://127.0.0.1:8080/ -n 8000
ug fault 9002 status:404 >/dev/null
ug fault 9003 status:404 >/dev/null
c ug check http://127.0.0.1:8080/ -n 600 --expect status:404
