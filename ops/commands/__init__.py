"""Commands of `toolworker`, a file each, with what they alone need."""
