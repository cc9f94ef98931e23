. "${CASES:-../..}/lib.sh"
cat >"$W/nginx.conf" <<C
worker_processes 1;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $W/b; proxy_temp_path $W/p; fastcgi_temp_path $W/f; uwsgi_temp_path $W/u; scgi_temp_path $W/s;
    upstream fleet { server 127.0.0.1:9001; server 127.0.0.1:9002; server 127.0.0.1:9003; }
    server { listen 127.0.0.1:8080; location / { proxy_pass http://fleet; } }
}
C
fleet --fault hang
ng "$W/nginx.conf"
c ug check http://127.0.0.1:8080/ -n 100 --timeout 2s
kill "$BAL"; wait "$BAL" 2>/dev/null
printf '%s\n' defaults ' mode http' ' timeout connect 2s' ' timeout client 60s' ' timeout server 60s' 'listen l' ' bind 127.0.0.1:8080' \
    ' server a 127.0.0.1:9001' ' server b 127.0.0.1:9002' ' server c 127.0.0.1:9003' >"$W/haproxy.cfg"
ha "$W/haproxy.cfg"
c ug check http://127.0.0.1:8080/ -n 100 --timeout 2s
