"""Watch the files that the builds of a project read, for the commands with `--watch`."""
