"""What earlier runs found out, kept in the user's cache: an unchanged input is not read, rendered or printed again."""
