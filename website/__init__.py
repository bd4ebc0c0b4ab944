"""How the documentation becomes a site: what MkDocs is told beyond mkdocs.yml."""
