. "${CASES:-../..}/lib.sh"
fleet --fault latency:50ms; ng
c ug check http://127.0.0.1:8080/uuid -n 2000 --no-experiments
