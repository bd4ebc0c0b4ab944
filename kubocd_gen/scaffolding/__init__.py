"""Files to begin with, which are the user's from then on: what a checkout has, what is added to it, and how."""
