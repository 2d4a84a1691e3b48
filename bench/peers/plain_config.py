"""Celery's own defaults, but for where Redis is. Read when the app is used."""

from runtime import settings

broker_url = result_backend = settings.load("REDIS_URL").broker()
