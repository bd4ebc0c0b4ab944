"""The HTTP client. Nothing else opens a socket. It is imported only if something must be fetched."""
