. "${CASES:-../..}/lib.sh"
fleet --fault latency:50ms; ng
c ug check http://127.0.0.1:8080/uuid -n 3000 --experiments-for 4s
c ug check http://127.0.0.1:8080/uuid -n 600 -c 6 --experiments-for 4s
