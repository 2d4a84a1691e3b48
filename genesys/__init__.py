"""Speak Genesys: a token, a submission, and what its answers mean."""
