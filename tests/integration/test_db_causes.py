"""Each cause of a failed database connection has a sentence of its own, without a secret."""

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from db.causes import cause
from db.connection import problems
from db.errors import Unavailable
from db.pool import Databases
from tests.receiver import wait_for


@pytest.fixture(scope="module")
def server(postgres_server):
    """Its address, with roles for all that can be wrong and lines of pg_hba.conf for them."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        (name,) = connection.execute("SHOW hba_file").fetchone()
        hba = Path(name)
        before = hba.read_text()
        hba.write_text(
            "host all guarded all scram-sha-256\n"
            f"hostssl all encrypted all trust\nhost all encrypted all reject\n{before}"
        )
        for role, options in (
            ("guarded", "LOGIN PASSWORD 'right'"),
            ("encrypted", "LOGIN"),
            ("resting", "NOLOGIN"),
            ("crowded", "LOGIN CONNECTION LIMIT 0"),
            ("outside", "LOGIN"),
        ):
            connection.execute(f"DROP ROLE IF EXISTS {role}")
            connection.execute(f"CREATE ROLE {role} {options}")
        for database in ("closed", "private"):
            connection.execute(f"DROP DATABASE IF EXISTS {database}")
            connection.execute(f"CREATE DATABASE {database}")
        connection.execute("ALTER DATABASE closed ALLOW_CONNECTIONS false")
        connection.execute("REVOKE CONNECT ON DATABASE private FROM public")
        address = urlsplit(postgres_server.url).netloc.rpartition("@")[2]
        connection.execute("SELECT pg_reload_conf()")  # is over before the file is read
        wait_for(lambda: not _lets_in(f"postgresql://encrypted@{address}/postgres"))
        yield address
        hba.write_text(before)
        connection.execute("SELECT pg_reload_conf()")


def _lets_in(url):
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("guarded:secret@{server}/postgres",
         "the password is wrong, or there is no such role (Postgres does not tell which)"),
        ("guarded@{server}/postgres", "a password is wanted, and the URL has none"),
        ("nobody:secret@{server}/postgres", "the role does not exist"),
        ("resting:secret@{server}/postgres", "the role may not log in; ALTER ROLE … LOGIN"),
        ("postgres:secret@{server}/nowhere", "the database does not exist"),
        ("postgres:secret@{server}/closed", "the database takes no connections"),
        ("outside:secret@{server}/private",
         "the role may not connect; GRANT CONNECT ON DATABASE"),
        ("crowded:secret@{server}/postgres",
         "the server has no connection left for the role; lower the workers' or raise its limit"),
        ("encrypted:secret@{server}/postgres",
         "pg_hba.conf refuses this host without TLS; try sslmode=require"),
        ("postgres:secret@{server}/postgres?sslmode=require",
         "TLS is wanted (sslmode), and the server has none"),
        ("postgres:secret@{server}/postgres?target_session_attrs=standby",
         "no server of the URL is of the kind that target_session_attrs wants"),
        ("postgres:secret@{server}/postgres?options=-cwork_men%3D1",
         "the URL's options name a setting that Postgres does not have"),
        ("postgres:secret@127.0.0.1:{free}/postgres",
         "nothing listens at that host and port; is Postgres started?"),
        ("postgres:secret@no-such-host.invalid/postgres", "the host's name is not known"),
        ("postgres:secret@/postgres?host=/no/such/folder",
         "there is no such socket; is Postgres started?"),
    ],
)  # fmt: skip
def test_each_cause_has_its_own_sentence(patient_database, server, free_port, url, sentence):
    url = "postgresql://" + url.format(server=server, free=free_port())
    assert problems({"default": url}) == {"default": sentence}


def test_a_silent_server_is_one_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://postgres:secret@127.0.0.1:{listener.getsockname()[1]}/postgres"
        found = problems({"default": url})
    assert found == {"default": "the host does not answer; check host, port and firewall"}


def test_a_server_that_hangs_up_differs_from_one_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_hang_up, args=(listener,), daemon=True).start()
        url = f"postgresql://postgres:secret@127.0.0.1:{listener.getsockname()[1]}/postgres"
        found = problems({"default": url})
    assert found == {"default": "what listens at that host and port hung up; is it Postgres?"}


def test_a_call_ends_unavailable_with_the_cause_and_the_log_has_it_without_a_secret(
    patient_database, server, capsys
):
    databases = Databases({"default": f"postgresql://guarded:secret@{server}/postgres"})
    databases.open()
    with pytest.raises(Unavailable, match="the password is wrong"):
        databases.ping("default")
    databases.close()
    logged = capsys.readouterr().err
    assert "database.unreachable" in logged
    assert "the password is wrong" in logged
    assert "secret" not in logged
    assert "guarded" not in logged


def test_a_database_that_works_has_no_problem(patient_database, reader_url):
    assert problems({"default": reader_url}) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("FATAL:  no pg_hba.conf entry for host \"10.0.0.9\", user \"a\", database \"b\", SSL on",
         "pg_hba.conf refuses this role, database and host"),
        ("FATAL:  the database system is starting up", "Postgres is starting"),
        ("FATAL:  sorry, too many clients already",
         "the server has no connection left for the role; lower the workers' or raise its limit"),
        ("SSL error: certificate verify failed",
         "the server's certificate is not trusted; sslrootcert names the CA that signed it"),
        ("root certificate file \"/root/.postgresql/root.crt\" does not exist",
         "the server's certificate is not trusted; sslrootcert names the CA that signed it"),
        ("server certificate for \"a\" does not match host name \"b\"",
         "the server's certificate is for another host name"),
        ("connection to server at \"192.0.2.1\", port 5432 failed: No route to host",
         "there is no route to the host"),
        ("FATAL:  no such database: x", "the pooler does not know the database"),
        ("FATAL:  query_wait_timeout", "the pooler had no server connection free in time"),
        ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", "the connection broke"),
    ],
)  # fmt: skip
def test_causes_that_no_server_here_can_have_are_recognised_by_their_text(text, sentence):
    assert cause(psycopg.OperationalError(f"connection failed: {text}")) == sentence


def _hang_up(listener):
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            return
