"""How fast the fleet may POST: rate limit, throttling after a 429, and circuit breaker."""
