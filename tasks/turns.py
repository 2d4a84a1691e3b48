"""A run that may not be sent yet waits for its turn in the ledger, not in a worker."""

from typing import Literal

from tasks.ledger import Ledger


def await_turn(
    ledger: Ledger, key: str, generation: int, why: str
) -> Literal["queued", "gone", "expired", "held", "waiting", "incomplete"]:
    """
    Put the run in the line of those that wait for Genesys; a reconciler takes it from there.

    Nothing is frozen and no attempt is counted. Twice is safe.

    Args:
        why: A sentence for the operator.

    Returns:
        "queued", or the word with which a claim would have been refused.

    Raises:
        LedgerUnavailable: Nothing is lost; the run is due again.
    """
    word: Literal["queued", "gone", "expired", "held", "waiting", "incomplete"]
    word = ledger.run_step("await_turn", key, [generation, why]).decode()
    return word
