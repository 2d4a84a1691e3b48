"""
Name the cause of a failed database connection, in a sentence without secrets.

Before a session stands, libpq gives no SQLSTATE but only a text, and that has role, host and
database in it: the text is searched, never repeated. A server that speaks another language than
English is recognised by what else libpq reports.
"""

import re

import psycopg
from psycopg import errors

_TEXTS = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        # a pooler's own messages
        (
            r"unsupported startup parameter",
            "the pooler takes no options from the URL; give them to the role: ALTER ROLE … SET …",
        ),
        (r"no such user", "the pooler does not know the role; it may be missing in its auth_file"),
        (r"no such database", "the pooler does not know the database"),
        (
            r"server login has been failing|pgbouncer cannot connect to server",
            "the pooler does not reach Postgres behind it",
        ),
        (r"statement pooling", "the pooler is in statement mode; give it pool_mode = transaction"),
        (r"bouncer config error", "the pooler's own configuration is wrong; see its log"),
        (r"no more connections allowed", "the pooler takes no more clients (max_client_conn)"),
        (r"query_wait_timeout", "the pooler had no server connection free in time"),
        # who may log in
        (
            r"password authentication failed|SASL authentication failed",
            "the password is wrong, or there is no such role (Postgres does not tell which)",
        ),
        (r"no password supplied|empty password", "a password is wanted, and the URL has none"),
        (r'role ".*" does not exist', "the role does not exist"),
        (r"not permitted to log ?in", "the role may not log in; ALTER ROLE … LOGIN"),
        (r'database ".*" does not exist', "the database does not exist"),
        (r"not currently accepting connections", "the database takes no connections"),
        (r"permission denied for database", "the role may not connect; GRANT CONNECT ON DATABASE"),
        (
            r"no encryption",
            "pg_hba.conf refuses this host without TLS; try sslmode=require",
        ),
        (r"pg_hba\.conf", "pg_hba.conf refuses this role, database and host"),
        # whether there is room
        (
            r"too many (connections|clients)|remaining connection slots",
            "the server has no connection left for the role; lower the workers' or raise its limit",
        ),
        (r"starting up|not yet accepting connections", "Postgres is starting"),
        (r"shutting down", "Postgres is stopping"),
        (r"recovery mode", "Postgres recovers from a crash"),
        # TLS
        (r"does not support SSL", "TLS is wanted (sslmode), and the server has none"),
        (
            r"root certificate file|certificate verify failed|unable to get local issuer",
            "the server's certificate is not trusted; sslrootcert names the CA that signed it",
        ),
        (r"does not match host name", "the server's certificate is for another host name"),
        (r"SSL|TLS", "TLS could not be agreed on"),
        # which server, and the way there
        (
            r"session is (not )?read-only|hot standby",
            "no server of the URL is of the kind that target_session_attrs wants",
        ),
        (r"unrecognized configuration parameter|invalid value for parameter",
         "the URL's options name a setting that Postgres does not have"),
        (r"failed to resolve|could not translate host name", "the host's name is not known"),
        (r"Connection refused", "nothing listens at that host and port; is Postgres started?"),
        (r"No route to host|unreachable", "there is no route to the host"),
        (r"timeout|timed out", "the host does not answer; check host, port and firewall"),
        (r"No such file or directory", "there is no such socket; is Postgres started?"),
        (r"closed the connection unexpectedly|invalid response|unexpected",
         "what listens at that host and port hung up; is it Postgres?"),
    )
)  # fmt: skip


# what may be over in a moment by itself
_PASSING = ("Postgres is ", "nothing listens", "the host", "there is no such socket", "there is no "
    "route", "the connection ", "the pooler had", "the pooler does not reach", "what listens",
    "Postgres recovers", "the query took")  # fmt: skip


def can_heal(sentence: str) -> bool:
    """Whether the cause behind a sentence can pass by itself."""
    return sentence.startswith(_PASSING)


def cause(error: psycopg.Error) -> str:
    """A sentence without a dot at its end; lower case, so that it can follow a name."""
    if isinstance(error, errors.ConnectionTimeout):
        return "the host does not answer; check host, port and firewall"
    text = str(error)
    for pattern, sentence in _TEXTS:
        if pattern.search(text):
            return sentence
    if error.pgconn is not None and error.pgconn.used_password:
        return "the server refuses role and password"
    if error.sqlstate:
        return f"Postgres answers with an error (SQLSTATE {error.sqlstate})"
    return "the connection broke"
