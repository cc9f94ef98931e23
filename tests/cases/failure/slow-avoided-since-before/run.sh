. "${CASES:-../..}/lib.sh"
fleet --fault latency:1500ms:9002
ng
for i in 1 2 3 4; do curl -s -o /dev/null -m 5 http://127.0.0.1:8080/; done
c ug check http://127.0.0.1:8080/ -n 300
