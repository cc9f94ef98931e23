. "${CASES:-../..}/lib.sh"
need haproxy
cat >"$W/haproxy.cfg" <<'C'
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    option redispatch
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1 slowstart 5s
frontend front
    bind 127.0.0.1:8080
    default_backend fleet
backend fleet
    balance roundrobin
    server a 127.0.0.1:9001 weight 50
    server b 127.0.0.1:9002 weight 10
    server c 127.0.0.1:9003 weight 10
C
fleet
ha "$W/haproxy.cfg"
sleep 6
c ug check http://127.0.0.1:8080/ --outage kill:9001@3s,start:9001@5s --rate 400 --duration 20s --expect slow-start:5s
c ug check http://127.0.0.1:8080/ --outage kill:9002@3s,start:9002@5s --rate 400 --duration 20s --expect slow-start:15s
