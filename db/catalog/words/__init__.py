"""Error sentences for the model: what a schema accepts, and how to correct a value."""
