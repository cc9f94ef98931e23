. "${CASES:-../..}/lib.sh"
fleet; py "$CASES/mutants/balancer.py" bursts 10
c ug check http://127.0.0.1:8080/uuid -n 3000 --expect round-robin
c ug check http://127.0.0.1:8080/uuid -n 3000
