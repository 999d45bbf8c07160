"""The one exception that `python -m experiments` shows as a message instead of a traceback."""


class RefusedError(Exception):
    """What was asked for cannot be done; the message says why and what to change."""
