"""Log a warning for each unsafe or misspelt setting, at the start of each process."""

from runtime import logs, settings


def log_risks(values: settings.Settings) -> None:
    """Warn of checks that are turned off, and of misspelt settings."""
    log_misspellings()
    if not values.redis_tls_verify:
        logs.get("settings").warning(
            "redis.unverified",
            meaning="REDIS_TLS_VERIFY=false: any server may pose as Redis and read its password",
        )


def log_misspellings() -> None:
    """Warn of variables that are probably misspelt settings, in one line, without their values."""
    if found := settings.misspelt():
        logs.get("settings").warning("settings.misspelt", meant=found)
