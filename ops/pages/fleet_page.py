"""Page of the fleet: the doctor's problems, workers, reconcilers, queues, Genesys, memory."""

from flask import Blueprint, render_template

from ops.diagnosis.reasons import OVERDUE_MS
from ops.pages.observer import problems_of
from ops.pages.state import dashboard

pages = Blueprint("fleet", __name__)


@pages.get("/fleet")
def show_fleet() -> str:
    """Everything that runs depend on."""
    state = dashboard()
    observer = state.observer
    examined, fleet = observer.examined(), observer.fleet()
    return render_template(
        "fleet.html",
        examined=examined,
        # of the same look: the next may have ended since
        problems=problems_of(examined),
        fleet=fleet,
        digest=observer.tools().catalog.digest,
        genesys=observer.genesys(),
        requests_per_minute=state.values.genesys_requests_per_minute,
        ledger=observer.ledger_status(),
        snapshot=observer.runs(),
        max_wait_ms=state.values.run_max_wait_s * 1000,
        max_waiting=state.values.run_max_waiting,
        overdue_ms=OVERDUE_MS,
        renew_s=5 if examined and fleet else 1,
    )
