"""Answer a question from Postgres, read-only: the tools, their arguments, their rows."""
