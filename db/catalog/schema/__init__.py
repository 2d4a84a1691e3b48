"""JSON Schema draft 7: what is inside a schema, and what is wrong with one."""
