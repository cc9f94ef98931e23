. "${CASES:-../..}/lib.sh"
fleet; ug fault 9002 status 404 30% >/dev/null; ng
c ug check http://127.0.0.1:8080/ -n 600 -c 4 --no-experiments
kill $BAL; wait $BAL 2>/dev/null; ha
c ug check http://127.0.0.1:8080/ -n 600 -c 4 --no-experiments
