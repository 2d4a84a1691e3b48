"""State of one dashboard process that its pages share: settings, observer, guard, jobs."""

from dataclasses import dataclass

from flask import current_app

from ops.pages.guard import Guard
from ops.pages.jobs import Jobs
from ops.pages.observer import Observer
from runtime.settings import Settings

_NAME = "dashboard"


@dataclass(frozen=True)
class Dashboard:
    """One process's settings, its view of the service, its guard, its replays."""

    values: Settings
    observer: Observer
    guard: Guard
    jobs: Jobs

    def install(self) -> None:
        """Make it the one of the current app."""
        current_app.extensions[_NAME] = self


def dashboard() -> Dashboard:
    """The one of the current app."""
    found: Dashboard = current_app.extensions[_NAME]
    return found
