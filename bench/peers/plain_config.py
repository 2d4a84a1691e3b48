"""Celery configuration of the plain chord: defaults, but for the broker's and backend's URL."""

from runtime import settings

broker_url = result_backend = settings.load("REDIS_URL").broker()
