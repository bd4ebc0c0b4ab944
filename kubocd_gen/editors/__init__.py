"""JSON Schemas and settings for editors, which use them to complete, explain and check YAML."""
