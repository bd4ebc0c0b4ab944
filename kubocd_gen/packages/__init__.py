"""Reference to package: where images are found, how they are read and verified, and the manifest inside."""
