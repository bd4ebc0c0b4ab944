"""The helm binary: how it is found and run, the charts it renders in batches, and the positions of its errors."""
