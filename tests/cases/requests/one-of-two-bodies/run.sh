. "${CASES:-../..}/lib.sh"
fleet; py "$CASES/mutants/balancer.py" big-body
printf 'hi\n' >"$W/small"; head -c 100000 /dev/zero >"$W/big"
c ug check http://127.0.0.1:8080/ --body "$W/small" --body "$W/big" -n 2000
