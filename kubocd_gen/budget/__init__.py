"""Limits on the resources that untrusted input can use: their values, what a run has used, and a watchdog."""
