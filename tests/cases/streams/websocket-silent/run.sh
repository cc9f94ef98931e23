. "${CASES:-../..}/lib.sh"
fleet; py silent.py both
c ug check 'ws://127.0.0.1:8080/ws?push=100ms&count=40' -c 6 --duration 5s
kill $BAL; wait $BAL 2>/dev/null; py silent.py down
c ug check 'ws://127.0.0.1:8080/ws?push=100ms&count=40' -c 6 --duration 5s
kill $BAL; wait $BAL 2>/dev/null; py silent.py none
c ug check 'ws://127.0.0.1:8080/ws?push=100ms&count=40' -c 6 --duration 5s
