"""Postgres, read-only: tool catalogue, arguments, queries, outputs."""
