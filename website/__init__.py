"""The documentation site: hooks and Markdown extensions for MkDocs, in addition to mkdocs.yml."""
