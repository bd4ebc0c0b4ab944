"""Compare two compilations, and render the differences as text, Markdown, JSON and HTML."""
