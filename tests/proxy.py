"""Helper: a TCP proxy before a server, which counts round trips and can cut connections."""

import re
import socket
import threading


class Proxy:
    """Forwards to Postgres, until it forgets its connections: they stay open and lead nowhere."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ways = []
        #: "client" or "server" for each time that one of them spoke after the other
        self.turns = []
        self._sent = b""
        self._until = re.compile(b"")
        self._is_passing = threading.Event()
        self._is_passing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, *, until):
        """Count anew, and hold the server's replies until the client's bytes match."""
        self.turns.clear()
        self._sent, self._until = b"", re.compile(until, re.DOTALL)
        self._is_passing.clear()

    def forget(self):
        for way in self._ways:
            way["is_open"] = False

    def close(self):
        self._listener.close()
        for way in self._ways:
            for end in way["ends"]:
                end.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            way = {"is_open": True, "ends": (client, server)}
            self._ways.append(way)
            for who, source, sink in (("client", client, server), ("server", server, client)):
                arguments = (way, who, source, sink)
                threading.Thread(target=self._copy, args=arguments, daemon=True).start()

    def _copy(self, way, who, source, sink):
        while True:
            try:
                data = source.recv(65536)
                if not data:
                    return
                if who == "client":
                    self._sent += data
                    if self._until.search(self._sent):
                        self._is_passing.set()
                else:
                    self._is_passing.wait()
                if self.turns[-1:] != [who]:
                    self.turns.append(who)
                if way["is_open"]:
                    sink.sendall(data)
            except OSError:
                return
