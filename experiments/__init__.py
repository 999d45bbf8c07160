"""Experiments that show what jaxdrop does; see `python -m experiments --help`."""
