"""Observability without a scraper: traces of ended runs, and alerts, sent by the reconcilers."""
