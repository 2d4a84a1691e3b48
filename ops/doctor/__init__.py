"""`toolworker doctor`: checks of settings, servers, tools and, once it runs, the service."""
