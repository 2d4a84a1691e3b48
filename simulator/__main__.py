"""`python -m simulator --port P`: the simulated Genesys as a program."""

from pathlib import Path

import click
from werkzeug.serving import make_server

from simulator.app import create_app


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8081, show_default=True, help="0 takes a free one.")
@click.option("--client-id", default="demo-client", show_default=True)
@click.option("--client-secret", default="demo-secret", show_default=True)
@click.option("--ca-file", type=click.Path(path_type=Path), help="Data actions trust it, too.")
def main(host: str, port: int, client_id: str, client_secret: str, ca_file: Path | None) -> None:
    """Serve a simulated Genesys Cloud in one process."""
    app = create_app(client_id=client_id, client_secret=client_secret, ca_file=ca_file)
    server = make_server(host, port, app, threaded=True)
    server.socket.listen(1024)  # a thousand runs may come at once; werkzeug's own queue is 128
    click.echo(f"simulated Genesys at http://{host}:{server.port}")
    server.serve_forever()


if __name__ == "__main__":
    main()
