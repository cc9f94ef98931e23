. "${CASES:-../..}/lib.sh"
cat >"$W/backends.py" <<'P'
import http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.server.body
        self.send_response(200)
        if self.server.cookie: self.send_header("Set-Cookie", "node=%s; Path=/; HttpOnly" % self.server.cookie)
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(*_): pass
for number in range(1, 7):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 9000 + number), Handler)
    server.cookie, server.body = ("node-%d" % number, b"hello\n") if number < 4 else (None, b"<h1>Hello from Server %d</h1><p>welcome</p>\n" % (number - 3))
    threading.Thread(target=server.serve_forever).start()
P
go python3 "$W/backends.py"; up 9006
cat >"$W/nginx.conf" <<C
worker_processes 1;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $W/b; proxy_temp_path $W/p; fastcgi_temp_path $W/f; uwsgi_temp_path $W/u; scgi_temp_path $W/s;
    upstream cookie { server 127.0.0.1:9001; server 127.0.0.1:9002; server 127.0.0.1:9003; }
    upstream number { server 127.0.0.1:9004; server 127.0.0.1:9005; server 127.0.0.1:9006; }
    server { listen 127.0.0.1:8080; location / { proxy_pass http://cookie; } }
    server { listen 127.0.0.1:8081; location / { proxy_pass http://number; } }
}
C
ng "$W/nginx.conf"
c ug check http://127.0.0.1:8080/ -n 600
c ug check http://127.0.0.1:8080/ -n 600 --identity cookie:node
c ug check http://127.0.0.1:8081/ -n 600
