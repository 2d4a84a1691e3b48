"""Settings, logs, metrics and watchdog timers for every package. Imports nothing of ours."""
