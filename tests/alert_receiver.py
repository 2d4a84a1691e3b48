"""Helper: a receiver of alerts that verifies Standard Webhooks and can be switched off."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class AlertReceiver:
    """`events` are those that were taken, oldest first; `status` is what it answers."""

    def __init__(self):
        self.status = 204
        self.events = []
        self.ids = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 204:
                    receiver.events.append(Webhook(SECRET).verify(body, dict(self.headers)))
                    receiver.ids.append(self.headers["webhook-id"])
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def told(self):
        """(raised or ended, cause) of each event."""
        return [(e["type"].removeprefix("alert."), e["data"]["id"]) for e in self.events]
