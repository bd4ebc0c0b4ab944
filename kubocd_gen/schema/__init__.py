"""Schemas: the API server's structural schemas, JSON Schema as gojsonschema applies it, and KuboCD's short form."""
