"""`toolworker doctor`: checks of settings, servers and tools before anything starts."""
