. "${CASES:-../..}/lib.sh"
need haproxy
config() { cat >"$W/haproxy.cfg" <<C
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
frontend front
    bind 127.0.0.1:8080
    $1
    default_backend fleet
backend fleet
    server a 127.0.0.1:9001
    server b 127.0.0.1:9002
    server c 127.0.0.1:9003
C
ha "$W/haproxy.cfg"; }
fleet
config 'http-request set-header X-Forwarded-For %[src] unless { rand(50) eq 0 }'
c ug check http://127.0.0.1:8080/ -n 3000 --expect client-address
kill "$BAL"; wait "$BAL" 2>/dev/null
config 'option forwardfor if-none'
c ug check http://127.0.0.1:8080/ -n 3000 --expect client-address
kill "$BAL"; wait "$BAL" 2>/dev/null
config 'option forwardfor'
c ug check http://127.0.0.1:8080/ -n 3000 --expect client-address
kill "$BAL"; wait "$BAL" 2>/dev/null
cat >"$W/nginx.conf" <<C
worker_processes 1;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $W/b; proxy_temp_path $W/p; fastcgi_temp_path $W/f; uwsgi_temp_path $W/u; scgi_temp_path $W/s;
    upstream fleet { server 127.0.0.1:9001; server 127.0.0.1:9002; }
    server {
        listen 127.0.0.1:8080;
        location = /auth { internal; proxy_pass http://127.0.0.1:9003/auth; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
        location / { auth_request /auth; proxy_set_header X-Forwarded-For \$remote_addr; proxy_pass http://fleet; }
    }
}
C
ng "$W/nginx.conf"
c ug check http://127.0.0.1:8080/ -n 1000 --expect client-address
