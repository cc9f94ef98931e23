. "${CASES:-../..}/lib.sh"
fleet; ng
ug fault 9001 status 503 3% >/dev/null
c ug check http://127.0.0.1:8080/uuid --expect even --outage pause:9002@2s,resume@3s --duration 7s --rate 300 --format json --no-experiments
