"""The written side: YAML emitter, ownership, the plan of a write, and the atomic writer."""
