"""Diagnosis of a run: why it has not ended, and what to type next."""
