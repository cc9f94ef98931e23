. "${CASES:-../..}/lib.sh"
fleet --tls --ca-out ca.pem; ug fault 9002 certificate expired >/dev/null; ha
c ug check http://127.0.0.1:8080/ -n 600 --experiments-for 5s
kill $BAL; wait $BAL 2>/dev/null; cp ca.pem "$W"; ng
c ug check http://127.0.0.1:8080/ -n 600 --experiments-for 5s
