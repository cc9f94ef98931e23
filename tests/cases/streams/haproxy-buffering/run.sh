. "${CASES:-../..}/lib.sh"
fleet; ha plain.cfg
c ug check 'http://127.0.0.1:8080/uuid/events?every=250ms&count=16' --stream -c 6 --expect unbuffered:50ms
kill $BAL; wait $BAL 2>/dev/null; ha delay.cfg
c ug check 'http://127.0.0.1:8080/uuid/events?every=250ms&count=16' --stream -c 6 --expect unbuffered:50ms
