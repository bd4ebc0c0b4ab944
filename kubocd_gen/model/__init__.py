"""Data classes: Release, Context, Config, Package, Module, Project, Cluster, and the results of compilation steps."""
