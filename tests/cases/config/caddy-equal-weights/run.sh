. "${CASES:-../..}/lib.sh"
fleet; ca
c ug check http://127.0.0.1:8080/uuid -n 2000 --from Caddyfile
c ug check http://127.0.0.1:8080/uuid -n 2000 --expect round-robin
