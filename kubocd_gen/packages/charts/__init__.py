"""Charts for packages: from Helm repositories, registries, Git and folders, as archives that are safe to publish."""
