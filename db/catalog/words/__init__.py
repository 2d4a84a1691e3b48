"""Words for the model: what a schema accepts, and what to write instead of what it refused."""
