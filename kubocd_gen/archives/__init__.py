"""Archives: bounded reading of tar and gzip, reproducible packing, and charts."""
