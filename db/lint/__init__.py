"""Lint tool folders for `tools check`: warnings, and what a live database refuses."""
