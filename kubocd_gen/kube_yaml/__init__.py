"""Read YAML like Kubernetes, find positions in it, and emit YAML that Go's readers read back unchanged."""
