"""A Genesys that fits in one process: tokens, submissions, faults, signed deliveries."""
