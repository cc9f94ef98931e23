. "${CASES:-../..}/lib.sh"
fleet --fault latency:1500ms
ng
c ug check http://127.0.0.1:8080/ -n 60
