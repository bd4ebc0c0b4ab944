"""The server for the HelmRepositories' URL: its container image, configuration and manifests, and `kcd-gen serve`."""
