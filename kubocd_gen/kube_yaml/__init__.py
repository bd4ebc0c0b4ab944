"""YAML as Kubernetes reads it, locations in it, and an emitter whose output Go's readers read back unchanged."""
