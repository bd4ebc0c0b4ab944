"""JSON Schemas for people who write YAML: what an editor completes, explains and checks while they type."""
