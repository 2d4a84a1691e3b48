"""Faults of the two Redis: broker, ledger, and both at once."""

import shutil
import signal
import time

import redis

from tests.chaos.faults import children_of, fault, send_signal

_WHICH = {"ledger": ("ledger",), "broker": ("broker",), "both Redis": ("broker", "ledger")}


def _servers(service, names):
    return [getattr(service.stack, name) for name in names]


def _restart(service, names, *, sent, away_s):
    for server in _servers(service, names):
        server.stop(sent)
    time.sleep(away_s)
    for server in _servers(service, names):
        server.start()


def _killed(names):
    def kill(service, rng):
        for _ in range(3):
            _restart(service, names, sent=signal.SIGKILL, away_s=rng.uniform(0.1, 1.0))
            time.sleep(3)

    return kill


def _stalled(names):
    def stall(service, rng):
        for server in _servers(service, names):
            send_signal(server.pid, signal.SIGSTOP)
        time.sleep(10)
        for server in _servers(service, names):
            send_signal(server.pid, signal.SIGCONT)

    return stall


def _out_of_memory(names):
    def fill(service, rng):
        clients = [redis.Redis.from_url(server.url) for server in _servers(service, names)]
        for client in clients:
            client.config_set("maxmemory", 1)
        time.sleep(4)
        for client in clients:
            client.config_set("maxmemory", "1gb")

    return fill


def _emptied(names):
    def lose(service, rng):
        # workers that stand still for a while leave messages and open runs to be lost
        standing = [p for pid in service.stack.worker_pids for p in (pid, *children_of(pid))]
        for pid in standing:
            send_signal(pid, signal.SIGSTOP)
        time.sleep(2)
        for server in _servers(service, names):
            server.stop(signal.SIGKILL)
        for name in names:
            shutil.rmtree(service.stack.folder / name / "appendonlydir")
        time.sleep(0.5)
        emptied_at = time.time()
        for server in _servers(service, names):
            server.start()
        for pid in standing:
            send_signal(pid, signal.SIGCONT)
        time.sleep(5)
        return emptied_at if "ledger" in names else None

    return lose


for _name, _names in _WHICH.items():
    fault(f"{_name} killed, back from the append-only file, 3 times")(_killed(_names))
    fault(f"{_name} stalled for 10 s")(_stalled(_names))
    fault(f"{_name} out of memory for 4 s")(_out_of_memory(_names))
    fault(f"{_name} restarted empty")(_emptied(_names))


@fault("both Redis restarted (SIGTERM), away 0.4 s and 3.5 s", smoke=True)
def redis_restarted(service, rng):
    for away_s in (0.4, 3.5):
        _restart(service, _WHICH["both Redis"], sent=signal.SIGTERM, away_s=away_s)
        time.sleep(3)


@fault("all connections to both Redis cut each 0.5 s for 10 s")
def client_kill(service, rng):
    for _ in range(20):
        for client in (service.broker(), service.ledger()):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.5)


@fault("every queued message doubled, 10 times", smoke=True)
def doubled(service, rng):
    broker = service.broker()
    for _ in range(10):
        for queue in service.queues():
            for message in broker.lrange(queue, 0, -1):
                broker.lpush(queue, message)
        time.sleep(0.3)
