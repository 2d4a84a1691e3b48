"""Simulated Genesys in one process: tokens, submissions, faults, deliveries, data actions."""
