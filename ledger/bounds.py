"""Times and counts of the ledger's steps, each with its reason."""

MARGIN_MS = 2_000
"""Queries stop this long before answer-by, and a lease lasts this much longer than its call may
take. Covers reading, encoding and one slow round trip."""
REPUBLISH_MS = (3_000, 10_000, 20_000)
"""A call that no worker started is fanned out again after these waits, by round. With the first a
run whose messages wait where no worker looks, after a rollback, is mostly answered within 5 s.
Without jitter: what comes due at once is given out 200 runs a look and published one by one."""
UNREAD_MS = 2_000
"""A queue of calls from which none was taken for so long counts as one that no worker reads. Where
all workers are busy for longer, runs that began are fanned out once more at each of REPUBLISH_MS,
so twice within 30 s; what comes second costs one step of the ledger."""
RELEASE_MS = 2_000
"""A call whose database is down is tried again this much later, and holds no slot meanwhile.
Without jitter: of all that come due at once a database sees no more than workers have slots."""
CHORD_GRACE_MS = 2_000
"""From the last output to the reconciler's look: the chord's own submission takes milliseconds."""
MAX_TRIES = 3
"""A call that was started this often and never answered is poison."""
LEASE_MS = 12_000
"""One POST may last 10 s in all; its sender counts as dead 2 s after that."""
STEP_MS = 5_000
"""A run given to a reconciler that dies is due again after this; a claim sets its own time."""
MESSAGES = 200
"""Runs that wait for a worker with a message in the broker; further ones wait in the ledger, since
what ends there leaves no message. Reconcilers look twice a second, so 400 runs a second begin."""
SILENT_MS = 15_000
"""Three signs of a reconciler, which shows itself each 5 s: without any every run gets a message at
once, as those of the last release, which show nothing, expect."""
REPLAY_MESSAGES = 20
"""A replay gets its message while all queues hold fewer than so many: a new run waits behind these.
A reconciler that published looks again in 0.1 s, so 200 replays a second begin; Genesys takes 5."""
SEEN_MS = 60_000
"""A reconciler that was not seen for so long is one no more."""
DUE_AT_ONCE = 200
"""Runs that one look goes through; the script holds the ledger for about a millisecond."""
