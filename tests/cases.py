"""How many cases a property is tried with: a fifth in `make test`, all in `make fuzz`."""

from hypothesis import settings

FUZZ = "fuzz"
"""The name of the hypothesis profile under which all cases are tried."""
settings.register_profile(FUZZ)


def cases(count):
    """*count*, or a fifth of it outside `make fuzz`."""
    return count if settings.get_current_profile_name() == FUZZ else count // 5
