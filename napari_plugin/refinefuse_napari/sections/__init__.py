"""The sections of the panel, in the order of work."""
