. "${CASES:-../..}/lib.sh"
fleet --ports 9001-9010; ng; ug fleet kill 9002 9007 >/dev/null
c ug check http://127.0.0.1:8080/uuid -n 3000 --expect round-robin
