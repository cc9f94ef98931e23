. "${CASES:-../..}/lib.sh"
need nginx haproxy envoy traefik caddy
port=9301
for balancer in nginx haproxy envoy traefik caddy; do
    c ug check --with $balancer --ports $port-$((port + 1)) --backend-protocol https --backend-tls-cert fleet -n 60 --no-experiments \
        --expect tls:client-certificate
    port=$((port + 10))
done
