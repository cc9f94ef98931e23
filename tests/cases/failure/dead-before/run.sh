. "${CASES:-../..}/lib.sh"
fleet; ng; ug fleet kill 9001 >/dev/null 2>&1
c ug check http://127.0.0.1:8080/uuid -n 1200 --expect 5:1:1
c ug check http://127.0.0.1:8080/uuid -n 1200 --no-experiments
