"""requests' adapter with one deadline for a whole request; requests' own timeouts are per read."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from runtime.watchdog import watched

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 15, 5, 3
"""An idle connection is probed after 15 s, so that firewalls remember it; one that died in silence
is known as dead after 30 s, and the next request opens another."""
UNACKNOWLEDGED_MS = 5000
"""A request on a connection that died in silence fails after this, not at its deadline of 10 s."""

_local = threading.local()


@contextmanager
def deadline(timeout_s: float) -> Iterator[None]:
    """
    Bound everything that this thread sends and receives in the block through `DeadlineAdapter`.

    After *timeout_s* seconds the socket is shut, and nothing is sent later.

    Raises:
        requests.ConnectTimeout: The time was over before a byte of the request was sent.
        requests.ReadTimeout: It was over later; the request may have arrived.
    """
    _local.connection = _local.sock = None
    _local.is_connected = False
    _local.ends_at = time.monotonic() + timeout_s
    state = _local.__dict__

    def shut() -> None:
        # a connection lets go of its socket once an answer without a length has begun
        sock = state["sock"] or getattr(state["connection"], "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    with watched(timeout_s, shut) as block:
        try:
            yield
        finally:
            if block.is_over:
                raise requests.ReadTimeout if _local.is_connected else requests.ConnectTimeout


def may_have_arrived() -> bool:
    """Whether this thread's last request had a connection, so that a byte of it may be sent."""
    return bool(_local.is_connected)


class DeadlineAdapter(HTTPAdapter):
    """requests' adapter, on connections that `deadline` can shut and that the kernel probes."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **options, socket_options=_socket_options())
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make, or find, the pools of connections through *proxy*."""
        if proxy not in self.proxy_manager:
            options["socket_options"] = _socket_options()
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Connection(HTTPConnection):
    """Shows `deadline` which socket is in use, and whether a byte may have been sent."""

    def connect(self) -> None:
        # shown before it connects: a proxy may send its answer to CONNECT byte by byte. A TLS
        # handshake has the connect timeout for all of it
        _local.connection, _local.sock = self, None
        super().connect()
        self._show()
        _local.is_connected = True

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._show()
        _local.is_connected = self.sock is not None
        super().request(*args, **kwargs)
        _local.sock = self.sock

    def _show(self) -> None:
        """
        Let the socket be shut from now on, unless the time was over before there was one.

        Nothing interrupts the look-up of a host name, nor the try of one address after another;
        a request sent late would overlap the next sender's. Shown first and checked then, so
        that the end of the time finds the socket or is found here.
        """
        _local.connection, _local.sock = self, None
        if time.monotonic() >= _local.ends_at:
            raise ConnectTimeoutError(self, "no time was left to send")


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


def _socket_options() -> list[tuple[int, int, int]]:
    """urllib3's own options and the kernel's keep-alive, as far as this system has it."""
    wanted = {
        "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,
        "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S,
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
        "TCP_USER_TIMEOUT": UNACKNOWLEDGED_MS,
    }
    return [
        *HTTPConnection.default_socket_options,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *(
            (socket.IPPROTO_TCP, getattr(socket, name), value)
            for name, value in wanted.items()
            if hasattr(socket, name)
        ),
    ]
