"""Scaffolding for `kcd-gen init`: inspect a checkout, and plan and write files that the user owns from then on."""
