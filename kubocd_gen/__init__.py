"""kcd-gen: KuboCD's controller as an offline compiler, from a Git checkout to Flux resources."""

__version__ = "0.1.0"
