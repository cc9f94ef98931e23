. "${CASES:-../..}/lib.sh"
fleet; ca Caddyfile
c ug check ws://127.0.0.1:8080/uuid -c 9 --duration 5s --during 'caddy reload --adapter caddyfile --config changed@2s'
c ug check ws://127.0.0.1:8080/uuid -c 9 --duration 5s --during 'caddy reload --adapter caddyfile --config Caddyfile@2s' --expect uncut
(sleep 2; caddy reload --adapter caddyfile --config changed >/dev/null 2>&1) &
c ug check ws://127.0.0.1:8080/uuid -c 9 --duration 5s --expect uncut
kill $BAL; wait $BAL 2>/dev/null; ca delayed
c ug check ws://127.0.0.1:8080/uuid -c 9 --duration 5s --during 'caddy reload --adapter caddyfile --config delayed-changed@2s' --expect uncut
