. "${CASES:-../..}/lib.sh"
need openssl caddy envoy traefik
echo subjectAltName=DNS:gateway >client.ext   # with extensions: a certificate of version 1 is refused
{ openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -out client.csr -subj /CN=gateway
  openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out client.crt -extfile client.ext; } >/dev/null 2>&1 || broken "no certificate"
ug --log off --tls --client-ca ca.crt >"$W/fleet.log" 2>&1 & PIDS+=("$!"); up 9003   # `fleet` asks without a certificate
ng
XDG_DATA_HOME=$W XDG_CONFIG_HOME=$W go caddy run --adapter caddyfile --config Caddyfile
en envoy.yaml 8083
go traefik --entrypoints.web.address=127.0.0.1:8084 --providers.file.filename="$PWD/dynamic.yml"
up 8082; up 8084; sleep 1
for port in 8080 8082 8083 8084; do
    c ug check http://127.0.0.1:$port/uuid -n 300 --no-experiments --expect tls:client-certificate
done
