"""Migration from KuboCD's controller to Flux: compare a dump of the cluster with the compiled output."""
