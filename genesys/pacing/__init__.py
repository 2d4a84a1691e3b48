"""Pacing of the fleet's POSTs: rate limit, throttling after a 429, and circuit breaker."""
