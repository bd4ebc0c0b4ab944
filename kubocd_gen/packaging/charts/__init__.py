"""Fetch charts for packages from Helm repositories, registries, Git and directories, as reproducible archives."""
