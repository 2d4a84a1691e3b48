"""While runs wait too long for a worker, new runs are refused; accepted ones go on."""

import time

import pytest
import redis

from ledger import Ledger
from ledger.due import DueRuns
from ledger.errors import Busy, LedgerUnavailable
from tests.timing import until_unstalled


@pytest.fixture
def client(redis_server):
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    return client


@pytest.fixture
def make_ledger(client):
    def make(**limits):
        times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
        return Ledger(client, **{**times, "dead_letter_retention_s": 600, **limits})

    return make


def _accept(ledger, run_id):
    call = {"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}}
    return ledger.accept(run_id, [call])


def _retry_after(ledger, run_id):
    with pytest.raises(Busy) as busy:
        _accept(ledger, run_id)
    return busy.value.retry_after_s


def _is_accepted(ledger, run_id):
    try:
        return _accept(ledger, run_id)
    except Busy:
        return None


def test_when_too_many_wait_a_new_run_is_refused_until_one_begins(make_ledger, client):
    ledger = make_ledger(max_waiting=2)
    first = _accept(ledger, "r-1")
    _accept(ledger, "r-2")
    assert _retry_after(ledger, "r-3") == 30  # none has begun: until they are answered anyway
    assert len(client.keys("tw:run:*")) == 2
    ledger.begin(first.key, 0)
    assert not _accept(ledger, "r-3").is_duplicate


def test_a_known_run_is_recognised_however_many_wait(make_ledger):
    ledger = make_ledger(max_waiting=1)
    first = _accept(ledger, "r-1")
    _retry_after(ledger, "r-2")
    again = _accept(ledger, "r-1")
    assert (again.key, again.is_duplicate) == (first.key, True)


def test_when_the_oldest_waits_too_long_a_new_run_is_refused_until_it_begins(make_ledger, client):
    ledger = make_ledger(max_wait_s=15)
    waiting = [_accept(ledger, f"r-{number}") for number in range(3)]
    _let_pass(client, 16, waiting[0].key)
    assert _retry_after(ledger, "other") == 30  # for the time that passed, not for their number
    for accepted in waiting:
        ledger.begin(accepted.key, 0)
    assert _is_accepted(ledger, "other")


def test_a_run_that_has_begun_may_wait_for_genesys_without_end(make_ledger):
    ledger = make_ledger(max_wait_s=0.05, max_waiting=1)
    for number in range(20):
        ledger.begin(_accept(ledger, f"r-{number}").key, 0)
    assert len(DueRuns(ledger).take(senders=1)) == 0  # none of them has ended


def _let_pass(client, seconds, *keys):
    """Age all runs by *seconds*, as if no process had run meanwhile."""
    for key in keys:
        client.hincrby(f"tw:run:{key}", "accepted_at", -seconds * 1000)
        client.zincrby("tw:waiting", -seconds * 1000, key)
        client.zincrby("tw:due", -seconds * 1000, key)


def test_a_run_whose_message_was_lost_refuses_no_new_run_once_a_later_one_began(
    make_ledger, client
):
    ledger = make_ledger()
    lost = [_accept(ledger, f"lost-{number}").key for number in range(20)]
    begun = _accept(ledger, "begun").key
    _let_pass(client, 60, begun)
    _let_pass(client, 120, *lost)
    waiting = _accept(ledger, "waiting").key
    _let_pass(client, 8, waiting)
    _retry_after(ledger, "new")
    ledger.begin(begun, 0)
    assert _accept(ledger, "new")
    _let_pass(client, 8, waiting)
    _retry_after(ledger, "newer")  # workers begin, and are late


def test_on_a_quiet_service_a_lost_message_refuses_no_new_run(make_ledger, client):
    ledger = make_ledger()
    _let_pass(client, 3600, _accept(ledger, "lost").key)
    ledger.begin(_accept(ledger, "first").key, 0)
    for number in range(5):
        assert _accept(ledger, f"r-{number}")
    assert client.ttl("tw:begun") > 3600  # a quiet hour later it is known still


def test_counts_of_what_was_begun_long_ago_are_not_kept(make_ledger, client):
    ledger = make_ledger()
    client.hset("tw:begun", mapping={"1": 5, "2": 5})
    ledger.begin(_accept(ledger, "r").key, 0)
    assert not {b"1", b"2"} & set(client.hkeys("tw:begun"))


def test_with_workers_and_reconcilers_down_one_run_per_max_wait_is_accepted(make_ledger, client):
    ledger = make_ledger(max_wait_s=15)
    oldest, last = _accept(ledger, "oldest").key, _accept(ledger, "last").key
    _let_pass(client, 8, oldest, last)
    _let_pass(client, 600, oldest)
    assert _retry_after(ledger, "new") == 30
    _let_pass(client, 8, oldest, last)
    probe = _accept(ledger, "probe").key
    assert _retry_after(ledger, "new") == 30
    ledger.begin(probe, 0)  # there are workers, and they are not late
    assert _accept(ledger, "new")


def test_the_time_in_which_the_ledger_was_down_does_not_count_as_waiting(
    make_ledger, client, monkeypatch
):
    ledger, other = make_ledger(max_wait_s=15), make_ledger(max_wait_s=15)
    keys = [_accept(ledger, f"r-{number}").key for number in range(3)]
    _let_pass(client, 20, *keys)
    new = _accept(ledger, "new").key  # the probe
    with pytest.raises(LedgerUnavailable):
        ledger.call(_raise_timeout)
    assert _retry_after(other, "another") == 30  # it did not see the ledger down
    assert _accept(ledger, "at once")
    _advance(monkeypatch, 14)
    assert _accept(ledger, "14 s later")
    _advance(monkeypatch, 2)
    _let_pass(client, 10, new)
    assert _retry_after(ledger, "16 s later") == 30  # workers had time to begin one


def _advance(monkeypatch, seconds):
    """Move this process' clock, not the ledger's."""
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + seconds)


def _raise_timeout():
    raise redis.TimeoutError


@pytest.mark.parametrize("how", ["buried", "submitted", "gone"])
def test_a_run_that_ends_without_having_begun_is_not_waited_for(make_ledger, client, how):
    ledger = make_ledger(max_waiting=1)
    key = _accept(ledger, "r-1").key
    _retry_after(ledger, "r-2")
    if how == "buried":
        client.hset(f"tw:run:{key}", "expires_at", 0)
        assert ledger.bury(key, 0, "expired")
    elif how == "submitted":
        ledger.finish(key, 0, {"status": 200})
    else:
        client.delete(f"tw:run:{key}")
    assert _accept(ledger, "r-2")


def test_retry_after_follows_the_pace_at_which_runs_begin(make_ledger):
    fast = make_ledger()
    for number in range(40):
        fast.begin(_accept(fast, f"begun-{number}").key, 0)
    for number in range(40):
        _accept(fast, f"waits-{number}")
    # 40 begun within the last 10 to 20 s; 21 of 40 must begin before there is room again
    assert 5 <= _retry_after(make_ledger(max_waiting=20), "r") <= 11
    assert 1 <= _retry_after(make_ledger(max_waiting=40), "r") <= 1


def _let_arrive(ledger, client, count, *, over_s):
    """Let *count* runs wait that came evenly within the last *over_s* seconds."""
    keys = [_accept(ledger, f"came-{number}").key for number in range(count)]
    seconds, micros = client.time()  # now, however long it took to accept them
    now_ms = seconds * 1000 + micros / 1000
    came = {key: now_ms - 1000 * over_s * (1 - n / count) for n, key in enumerate(keys)}
    client.zadd("tw:waiting", came)


def _let_ten_a_second_begin(client):
    seconds, micros = client.time()
    into_period_s = seconds % 10 + micros / 1_000_000
    counts = {seconds // 10 - 1: 100, seconds // 10: round(into_period_s * 10)}
    client.delete("tw:begun")
    client.hset("tw:begun", mapping=counts)


@pytest.mark.parametrize(
    ("count", "over_s", "max_waiting", "opens_after_s"),
    [
        (300, 15.3, 10_000, 30),  # those behind age as fast as the queue moves: when none is left
        (100, 20, 10_000, 5),  # the 50th came 10 s ago, and has waited 15 s by then
        (100, 20, 90, 5),  # there is room after 1 s, and the oldest is too old
        (100, 20, 20, 8),  # there is room for another after 81 runs
        (280, 14, 200, 28),  # room after 8 s, but the oldest is too old by then, and so on
        (100, 100, 10_000, 10),  # the 95th came 5 s ago
    ],
)
def test_who_comes_back_after_retry_after_is_let_in(
    make_ledger, client, count, over_s, max_waiting, opens_after_s
):
    ledger = make_ledger(max_waiting=max_waiting, answer_by_s=60)

    def attempt():
        client.flushall()
        _let_arrive(make_ledger(), client, count, over_s=over_s)
        began = time.monotonic()
        _let_ten_a_second_begin(client)
        found = _retry_after(ledger, "new")
        return found if time.monotonic() - began < 0.5 else None

    # in whole seconds, at a pace that is known to a hundredth
    assert opens_after_s <= until_unstalled(attempt) <= opens_after_s + 2
