"""The only room that knows the helm binary: finding it, scratch charts, batches, error positions."""
