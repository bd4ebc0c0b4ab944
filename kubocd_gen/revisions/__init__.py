"""Git revision to files: read out of the object store, never checked out."""
