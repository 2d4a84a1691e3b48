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
    """Settings, observer, guard and jobs of one process."""

    values: Settings
    observer: Observer
    guard: Guard
    jobs: Jobs

    def install(self) -> None:
        """Attach it to the current app."""
        current_app.extensions[_NAME] = self


def dashboard() -> Dashboard:
    """The dashboard that is attached to the current app."""
    found: Dashboard = current_app.extensions[_NAME]
    return found
