"""`toolworker tools reload`: let running workers load their tool folders anew."""

from collections.abc import Iterator

from tasks import fleet

_SHOWN = 12  # digits of a digest


def reload_tools() -> Iterator[tuple[str, bool]]:
    """
    Reload in all workers; for each a line, and whether it has the tools that it was given.

    Raises:
        BrokerUnavailable: The broker does not answer; no worker reloaded.
    """
    replies = fleet.reload_tools()
    if not replies:
        yield "no worker answers; one that starts reads the folders by itself", False
    for node, reply in replies.items():
        if reply is None:
            yield f"{node}: did not answer in {fleet.RELOAD_S:.0f} s; look at its log", False
        elif reply.mistakes:
            kept = f"{node}: keeps catalogue {reply.before[:_SHOWN]}, for these mistakes:"
            yield f"{kept}\n{reply.mistakes}", False
        elif reply.before == reply.after:
            yield f"{node}: catalogue {reply.after[:_SHOWN]}, as before", True
        else:
            yield f"{node}: catalogue {reply.after[:_SHOWN]}, before {reply.before[:_SHOWN]}", True
    digests = {reply.after for reply in replies.values() if reply}
    if len(digests) > 1:
        yield "the workers' catalogues differ: do all of them see the same folders?", False
