"""Environment variables that Celery or gunicorn would follow in place of our settings."""

import re
from collections.abc import Mapping

_OF_CELERY = {
    "CELERY_BROKER_URL": "set REDIS_URL",
    "CELERY_BROKER_READ_URL": "set REDIS_URL",
    "CELERY_BROKER_WRITE_URL": "set REDIS_URL",
    "BROKER_URL": "set REDIS_URL",
    "CELERY_RESULT_BACKEND": "outputs are kept in the ledger, LEDGER_URL",
    "RESULT_BACKEND": "outputs are kept in the ledger, LEDGER_URL",
    "CELERY_CONFIG_MODULE": "the service has a celeryconfig.py of its own",
    "CONFIG_MODULE": "the service has a celeryconfig.py of its own",
    "CELERY_LOADER": "the service has a loader of its own",
    "LOADER": "the service has a loader of its own",
    "REMAP_SIGTERM": "a worker that is stopped finishes what runs; SIGQUIT ends it at once",
    "CELERY_CUSTOM_WORKER_POOL": "only the prefork pool keeps time limits",
}
"""What Celery 5.7.0 with its command and its pool reads by these names, and what to do instead."""
_OF_GUNICORN = {"GUNICORN_CMD_ARGS": "give options on its command line"}
_HARMLESS = re.compile(
    # what Celery 5.7.0 sets for its processes, and programs that they start inherit
    r"CELERY_(SKIP_CHECKS|LOG_(FILE|LEVEL|REDIRECT|REDIRECT_LEVEL))"
    # what Kubernetes sets for each Service, such as `celery-worker`; no option has such a name
    r"|.*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def refusals(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that must not be set, each with what to do in their place."""
    # click takes CELERY_<COMMAND>_<OPTION>: CELERY_WORKER_QUEUES, CELERY_WORKER_PURGE
    found = {
        name: "Celery's command takes options from CELERY_*; unset it, and give them to the command"
        for name in sorted(environment)
        if name.startswith("CELERY_") and not _HARMLESS.fullmatch(name)
    }
    for library, variables in (("Celery", _OF_CELERY), ("gunicorn", _OF_GUNICORN)):
        followed = f"{library} would follow it in place of our settings; unset it: "
        found |= {name: followed + advice for name, advice in variables.items()}
    return {name: what for name, what in found.items() if environment.get(name)}
