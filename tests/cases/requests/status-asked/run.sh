. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://127.0.0.1:8080/status/400 -n 300 --expect status:400
c ug check http://127.0.0.1:8080/status/400 -n 300
c ug check 'http://127.0.0.1:8080/events?every=x' -n 300
