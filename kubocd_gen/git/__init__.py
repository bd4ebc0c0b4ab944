"""The wrapper of the git binary: queries, the files of a commit, and fetching a commit. Nothing else runs git."""
