"""Two compilations, and what differs between them as text, Markdown, JSON and HTML."""
