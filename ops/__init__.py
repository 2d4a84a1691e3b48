"""The `toolworker` command line, and what operators and developers run with it."""
