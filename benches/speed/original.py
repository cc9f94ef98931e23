"""A peer for the bench: the behaviour of the program that uuid-generator began as. Prints its port, then serves."""

import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

PAGE = """<!doctype html>
<html>
<head>
<style>h1 {{ font-size: 100px; text-align: center }}</style>
<title>{host}</title>
</head>
<body>
<h1>Generator #{port}</h1>
<h1>UUID={uuid}</h1>
</body>
</html>
"""


class Generator(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        page = PAGE.format(host=self.headers["Host"], port=self.server.server_port, uuid=uuid.uuid4()).encode()
        self.send_header("Content-type", "text/html")
        # Without it wrk counts the answer as an error and connects once more.
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


server = HTTPServer(("127.0.0.1", 0), Generator)
print(server.server_port, flush=True)
server.serve_forever()
