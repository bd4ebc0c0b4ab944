"""Directories that are opened and changed without following symlinks, and paths."""
