"""Archives: reading tar and gzip within limits, reproducible packing, and Helm charts."""
