"""The one wrapper of the git binary: questions, the files of a commit, fetching a commit. Nothing else starts git."""
