"""What an operator types and looks at."""
