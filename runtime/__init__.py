"""Settings, logs, metrics and deadlines for every package. Imports nothing of ours."""
