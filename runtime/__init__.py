"""What every part needs: settings, logs, metrics and a watchdog. Imports nothing of ours."""
