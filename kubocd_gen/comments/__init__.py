"""Comments on pull and merge requests: the console script `kcd-gen-ci` of the CI integrations."""
