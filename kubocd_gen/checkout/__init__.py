"""The files of a checkout. They are untrusted, and read only inside the checkout or where the user allowed it."""
