"""Child processes that end with kcd-gen, and work that several threads share."""
