"""The plainest server that keeps documents: CERTIFICATE DATABASE. Prints its port."""

import http.server
import sqlite3
import ssl
import sys
import threading

database = sqlite3.connect(sys.argv[2], check_same_thread=False, isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=NORMAL")
database.execute("CREATE TABLE documents (key TEXT PRIMARY KEY, body BLOB)")
lock = threading.Lock()
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with lock:
            row = database.execute("SELECT body FROM documents WHERE key = ?", [self.path]).fetchone()
        self.answer(200 if row else 404, row[0] if row else b"")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            database.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", [self.path, body])
        self.answer(200, body)

    def log_message(self, *rest):
        pass


class Server(http.server.ThreadingHTTPServer):
    def finish_request(self, request, address):
        super().finish_request(tls.wrap_socket(request, server_side=True), address)


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
