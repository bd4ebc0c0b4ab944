"""The computations of the KuboCD controller for a Release, as functions without I/O."""
