"""Log a warning for each unsafe setting, at the start of each process."""

from runtime import logs, settings


def log_risks(values: settings.Settings) -> None:
    """Warn of checks that are turned off."""
    if not values.redis_tls_verify:
        logs.get("settings").warning(
            "redis.unverified",
            meaning="REDIS_TLS_VERIFY=false: any server may pose as Redis and read its password",
        )
