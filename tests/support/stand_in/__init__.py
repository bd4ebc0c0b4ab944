"""A stand-in for a cluster: kubectl and helm with the API server's and Flux's rules, and the state in a JSON file.

It implements what the printed steps of a migration use, by rules that were measured on a real cluster (see
docs/migration.md): ownerReferences and the garbage collector, finalizers, resourceVersions, field managers, the
deletion of Namespaces and CRDs, Helm's upgrade and uninstall, and how Flux reconciles Kustomizations and HelmReleases.
"""
