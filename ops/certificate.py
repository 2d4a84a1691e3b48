"""Expiry of a server's TLS certificate, read from its handshake as clients see it."""

import socket
import ssl
import time

_EXPIRED = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""


class NoCertificate(Exception):
    """No TLS server answered at the endpoint; the message names the cause."""


def ends_in_s(endpoint: str, *, timeout_s: float) -> float:
    """
    Seconds until the certificate at *endpoint* ends; 0 when it has ended.

    Two handshakes: the standard library shows the fields of a certificate only after it was
    verified, so the second trusts exactly what the first was given. Who signed it is not checked.

    Args:
        endpoint: `host:port`; the host is also the server name that is sent.

        timeout_s: For each of connecting and handshake.

    Raises:
        NoCertificate: Nothing answers there, or not in TLS.
    """
    host, _, port = endpoint.rpartition(":")
    try:
        given = ssl.get_server_certificate((host, int(port)), timeout=timeout_s)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        # the server's own certificate is enough, whatever its chain
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=given)
        with (
            socket.create_connection((host, int(port)), timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            found = connection.getpeercert()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return 0.0
        raise NoCertificate(f"{endpoint}: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        raise NoCertificate(
            f"no TLS server answers at {endpoint} ({type(error).__name__})"
        ) from error
    ends_at = str(found["notAfter"]) if found else ""
    return ssl.cert_time_to_seconds(ends_at) - time.time()
