"""The nouns: Release, Context, Config, Package, Module, Project, Cluster, and what a compilation hands on."""
