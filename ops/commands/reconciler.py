"""`toolworker reconcile`: run one reconciler until SIGTERM."""

import signal

from db import catalog
from genesys import client as genesys
from ops.commands.gauges import FleetGauges
from ops.observability.alerts import alerter_from
from ops.observability.exporter import exporter_from
from runtime import logs, metrics, risks, settings
from tasks.app import limit_publishing
from tasks.reconcile import Reconciler
from tasks.resources import open_ledger


def serve() -> None:
    """
    Finish what the fast path left, until SIGTERM or Ctrl-C; POSTs under way end first.

    Raises:
        SettingsError, CatalogError: All mistakes at once; nothing was done.
    """
    logs.configure()
    values = settings.load("REDIS_URL")
    if values.alert_url:
        settings.load("ALERT_SECRET")
    risks.log_risks(values)
    loaded = catalog.load(values.tools_dir)
    ledger = open_ledger(values, loaded)
    client = genesys.from_settings(values)
    limit_publishing()
    reconciler = Reconciler(ledger, client)
    metrics.serve_from(values, gauges=FleetGauges(values, client, reconciler))
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda number, frame: reconciler.stop())
    log = logs.get("reconcile")
    log.info("reconciler.started", catalog=loaded.digest)
    stops = [exporter_from(values, ledger), alerter_from(values, ledger, client)]
    reconciler.run()
    for stop in stops:
        stop()
    log.info("reconciler.stopped")
