"""Kustomizations of kustomize: what they list and change, and running kustomize on a copy of them."""
