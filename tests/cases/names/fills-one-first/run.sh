. "${CASES:-../..}/lib.sh"
fleet --fault latency:2ms; ha
c ug check http://127.0.0.1:8080/uuid -n 1500
