. "${CASES:-../..}/lib.sh"
fleet --fault latency:50ms; en
c ug check http://127.0.0.1:8080/uuid -n 2000
