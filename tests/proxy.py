"""Helper: a TCP proxy before a server, which counts round trips and can cut or forget."""

import contextlib
import re
import socket
import threading

_BACKLOG = 128


class Proxy:
    """Forwards to a server, until it forgets its connections: they stay open and lead nowhere."""

    def __init__(self, host, port):
        self._target = (host, port)
        self.port = 0  # any, at first
        self._bind()
        self.port = self._listener.getsockname()[1]
        self._ways, self._fillers = [], []
        #: "client" or "server" for each time that one of them spoke after the other
        self.turns = []
        self._sent = b""
        self._until = re.compile(b"")
        self._is_passing = threading.Event()
        self._is_passing.set()
        self._begin_to_accept()

    @property
    def open_connections(self):
        """How many connections lead to the server."""
        return sum(way["is_open"] for way in self._ways)

    def hold(self, *, until):
        """Count anew, and hold the server's replies until the client's bytes match."""
        self.turns.clear()
        self._sent, self._until = b"", re.compile(until, re.DOTALL)
        self._is_passing.clear()

    def forget(self):
        """Let all connections lead nowhere, without a sign of it at either end."""
        for way in self._ways:
            way["is_open"] = False

    def block(self, *, refuse):
        """Forget, and let no connection be made: refuse each, or leave it without an answer."""
        self._stop_listening()
        self.forget()
        self._bind()  # so that no other process takes the port meanwhile
        if not refuse:
            self._listener.listen(0)
            self._fill_backlog()

    def unblock(self):
        """Let connections be made again; those that were forgotten still lead nowhere."""
        self._stop_listening()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self._bind()
        self._begin_to_accept()

    def close(self):
        self._stop_listening()
        for way in self._ways:
            for end in way["ends"]:
                end.close()

    def _bind(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))

    def _stop_listening(self):
        with contextlib.suppress(OSError):  # it only held the port
            self._listener.shutdown(socket.SHUT_RDWR)  # ends an `accept`; `close` would not
        self._listener.close()

    def _fill_backlog(self):
        """Connect until the kernel answers no more: it then drops what others send to connect."""
        while True:
            filler = socket.socket()
            self._fillers.append(filler)
            filler.settimeout(0.2)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return

    def _begin_to_accept(self):
        self._listener.listen(_BACKLOG)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            way = {"is_open": True, "ends": (client, server)}
            self._ways.append(way)
            for who, source, sink in (("client", client, server), ("server", server, client)):
                arguments = (way, who, source, sink)
                threading.Thread(target=self._copy, args=arguments, daemon=True).start()

    def _copy(self, way, who, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._is_passing.is_set():
                    pass
                elif who == "client":
                    self._sent += data
                    if self._until.search(self._sent):
                        self._is_passing.set()
                else:
                    self._is_passing.wait()
                if self.turns[-1:] != [who]:
                    self.turns.append(who)
                if way["is_open"]:
                    sink.sendall(data)
            if way["is_open"]:
                way["is_open"] = False
                sink.shutdown(socket.SHUT_RDWR)
