"""The OAuth token: requested once for the fleet, renewed early, kept in Redis."""
