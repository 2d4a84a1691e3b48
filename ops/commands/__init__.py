"""Commands of `toolworker`, one file each, and their helpers."""
