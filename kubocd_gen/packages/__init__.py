"""Packages: find, fetch and verify their images, and read their manifests."""
