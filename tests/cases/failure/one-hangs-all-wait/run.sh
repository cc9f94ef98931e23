. "${CASES:-../..}/lib.sh"; fleet
py "$CASES/mutants/balancer.py" one-at-a-time
c ug check http://127.0.0.1:8080/ --no-experiments --rate 100 --duration 4s --timeout 1s --outage hang:9002@1s,clear:9002@3s
stop; fleet; py "$CASES/mutants/balancer.py" none
c ug check http://127.0.0.1:8080/ --no-experiments --rate 100 --duration 4s --timeout 1s --outage hang:9002@1s,clear:9002@3s
