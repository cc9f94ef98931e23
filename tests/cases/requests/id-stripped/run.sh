. "${CASES:-../..}/lib.sh"
ng; c ug check http://127.0.0.1:8080/uuid --start --method POST --body-bytes 100 -n 1200 --no-experiments
stop; py "$CASES/mutants/balancer.py" no-id
c ug check http://127.0.0.1:8080/uuid --start --method POST --body-bytes 100 -n 1200 -c 8 --no-experiments
