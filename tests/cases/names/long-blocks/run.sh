. "${CASES:-../..}/lib.sh"
fleet
for length in 20 50 100; do
    py "$CASES/mutants/balancer.py" blocks "$length"
    c ug check http://127.0.0.1:8080/uuid -n 3000 --expect round-robin
    kill "$BAL"; wait "$BAL" 2>/dev/null
done
