"""Two compilations to what differs between them, and that to words. Functions without I/O."""
