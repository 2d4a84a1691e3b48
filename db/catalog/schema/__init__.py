"""JSON Schema draft 7: schemas inside a schema, defaults, equality, contradictions."""
