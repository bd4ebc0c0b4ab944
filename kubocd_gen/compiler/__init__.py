"""What KuboCD's controller computes for a Release, as functions without I/O."""
