"""What untrusted input can cost: the limits, what a run has spent, and a watchdog that measures it."""
