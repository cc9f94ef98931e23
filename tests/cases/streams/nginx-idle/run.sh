. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check 'http://127.0.0.1:8080/uuid/events?every=4s&count=2' --stream -c 6
c ug check 'http://127.0.0.1:8080/uuid/events?every=1s&count=5' --stream -c 6 --expect uncut
