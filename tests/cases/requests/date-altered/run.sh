. "${CASES:-../..}/lib.sh"
fleet
for fault in date date-own; do py "$CASES/mutants/balancer.py" $fault; c ug check http://127.0.0.1:8080/ -n 3000; kill "$BAL"; wait "$BAL" 2>/dev/null; done
ng; c ug check http://127.0.0.1:8080/ -n 3000
