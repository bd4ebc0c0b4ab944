"""What stands between a cluster that KuboCD's controller runs and the compiled output, read out of a dump of it."""
