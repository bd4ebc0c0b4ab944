"""The output: its inventory, the plan of a write, and the atomic writer."""
