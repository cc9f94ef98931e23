. "${CASES:-../..}/lib.sh"
fleet; ng
check() { ug check http://127.0.0.1:8080/uuid --rate 150 -n 1200 --no-experiments "$@"; }
check >/dev/null 2>&1 & PIDS+=($!); c check
check --method POST --body-bytes 10 >/dev/null 2>&1 & PIDS+=($!); c check --method POST --body-bytes 10
