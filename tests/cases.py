"""Number of cases per Hypothesis property: a fifth in `make test`, all in `make fuzz`."""

from hypothesis import settings

QUICK, FUZZ = "quick", "fuzz"
"""The hypothesis profiles of `make test`, and of `make fuzz`, which tries all cases."""
for _name in (QUICK, FUZZ):
    settings.register_profile(_name, deadline=None)  # no case fails for a busy machine
settings.load_profile(QUICK)  # --hypothesis-profile comes later


def cases(count):
    """*count*, or a fifth of it outside `make fuzz`."""
    return count if settings.get_current_profile_name() == FUZZ else count // 5
