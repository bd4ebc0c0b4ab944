"""Git checkout to documents: YAML by Kubernetes' rules, positions, discovery, the resources as dataclasses."""
