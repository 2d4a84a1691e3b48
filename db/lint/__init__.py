"""What `tools check` finds and a worker does not refuse: warnings, and what the database says."""
