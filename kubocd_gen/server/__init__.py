"""What stands behind the HelmRepositories' URL: the server's container image, its configuration and manifests."""
