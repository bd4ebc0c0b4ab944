"""Validation: structural schemas like the API server, JSON Schema like gojsonschema, and KuboCD's short form."""
