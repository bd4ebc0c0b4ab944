"""The files of a checkout: untrusted input, read only inside the checkout or where the user allowed it."""
