. "${CASES:-../..}/lib.sh"
fleet
ha
for i in $(seq 30); do ug fault 9002 unhealthy; sleep .7; ug fault 9002 clear; sleep .8; done >/dev/null 2>&1 &
PIDS+=($!)
c ug check http://127.0.0.1:8080/ --rate 300 --duration 6s --expect even --no-experiments
