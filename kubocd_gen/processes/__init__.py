"""Child processes that end with kcd-gen, and calls that threads share."""
