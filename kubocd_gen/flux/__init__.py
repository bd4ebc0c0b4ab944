"""A compiled Release as OCIRepository, HelmRepository and HelmReleases, checked against Flux's schemas."""
