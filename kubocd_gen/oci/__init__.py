"""Container images: references, descriptors, image layouts, registries and their credentials."""
