"""Celery's configuration: every number with its unit and its reason. Read when the app is used."""

from kombu import Queue

from runtime import settings

_settings = settings.load("REDIS_URL")

broker_url = _settings.broker()
# None for redis://; for rediss:// without it kombu checks no certificate
broker_use_ssl = _settings.redis_tls(broker_url) or None
# The ledger keeps the outputs and counts the parts of a chord.
result_backend = "tasks.backend:LedgerBackend"

# Names are short because Flower's columns are. A worker takes from each queue in turn
# (queue_order_strategy, round_robin by default). A message that a worker does not know is lost,
# so each version of a message has a queue of its own. The last release knows `fan_out`, `submit`
# and `call`, and takes from the first queue alone; `validate` and `query` are newer.
task_default_queue = "toolworker"
task_queues = [
    Queue("toolworker", routing_key="toolworker"),
    Queue("toolworker.calls", routing_key="toolworker.calls"),
    Queue("toolworker.further", routing_key="toolworker.further"),  # calls 9 and on of a large run
]
task_routes = {name: {"queue": "toolworker.calls"} for name in ("validate", "query")}
task_serializer = "json"
accept_content = ["json"]  # a pickled message is refused: it would run its sender's code

# Redis may start later than the worker, and may be down for longer than 100 tries (the default).
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# A Redis without memory refuses what a worker writes when it connects; without this the worker ends
# instead of trying again.
broker_channel_error_retry = True
broker_connection_timeout = 2  # s

broker_transport_options = {
    # s; an unacknowledged message goes to another worker after this. Above every time limit below,
    # or a running task would be delivered again; far below RUN_EXPIRES_S.
    "visibility_timeout": max(60, _settings.run_answer_by_s + 15),
    # s, and "at every interval": by default the look for such messages comes each 100 s.
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "unacked_restore_limit": 100,
    # s; None (the default) hangs for ever when Redis is stalled.
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    # s; a half-open connection is found in about 11 s, not 51.
    "health_check_interval": 5,
    # One queue key instead of four per BRPOP; messages have no priorities.
    "priority_steps": [0],
    # JSON bodies need no base64: 10 to 25 % fewer bytes.
    "body_encoding": None,
}

# A retry that cannot be published fails its task; be patient for a restart:
# 10 tries, 0.1 s then 0.4 s more each, at most 2 s apart, about 16 s in all.
task_publish_retry = True
task_publish_retry_policy = {
    "max_retries": 10,
    "interval_start": 0.1,
    "interval_step": 0.4,
    "interval_max": 2,
}

task_acks_late = True  # acknowledge after the work, so that a dead worker's message comes back
task_reject_on_worker_lost = True  # the fallback when the retry below cannot be published
task_retry_on_worker_lost = True  # counted by max_retries; a plain requeue would loop for ever
task_acks_on_failure = True  # False would drop the message, not keep it
task_acks_on_timeout = True  # False would run it again for ever

task_ignore_result = True
task_track_started = False
task_send_sent_event = False
# Flower shows tasks by their events. A process that runs a link behind another sends that link's
# events itself, and cannot be switched on from outside as a worker's main process can.
worker_send_task_events = True
worker_cancel_long_running_tasks_on_connection_loss = False  # queries are read-only; let them end

# s; limits in order: a query ends 2 s before answer-by < soft < hard < answer-by < visibility
# timeout. They bound what the query's own timeout does not, such as a driver that hangs.
_limits = {
    "soft_time_limit": _settings.run_answer_by_s - 1.5,
    "time_limit": _settings.run_answer_by_s - 1,
}
task_annotations = dict.fromkeys(("fan_out", "validate", "query", "call"), _limits)
# s; for submit: a POST has 10 s in all, and may wait for a token.
task_soft_time_limit = 40
task_time_limit = 45  # a worker that is stopped has ended within this: it finishes what runs

worker_prefetch_multiplier = 1  # a slot takes one message; the rest is left to other workers
# Bounds what a leak can hold; from 10,000 to 20,000 runs a worker grew by 0.6 MB.
# Not lower: a new child costs 0.2 s and 3 MB, since it shares less with its parent than the first.
worker_max_tasks_per_child = 1_000_000
worker_proc_alive_timeout = 10  # s; default 4 is short on a busy machine
worker_hijack_root_logger = False
worker_redirect_stdouts = False

# The limits of receiver and reconciler, and of the events of links: a publish ends within 0.5 s
# whatever Redis does. It takes socket timeouts, no reconnect tries inside the transport, and no
# publish retry.
RECEIVER = {
    "broker_pool_limit": 32,  # as many as the receiver has threads: none waits for another's
    "task_publish_retry": False,
    "broker_transport_options": {
        **broker_transport_options,
        "socket_timeout": 0.5,
        "socket_connect_timeout": 0.5,
        "max_retries": 0,
    },
}
