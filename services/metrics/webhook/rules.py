"""Decides what holds for a post whichever platform it comes from."""

# Bytes of a body from which on it is read in a thread.
LARGE = 256_000
PAUSED_SECONDS = 300
# The one status on which every platform sends again, for when it isn't known which one it is.
ANYBODYS_RETRY = 429


class NotBelievedError(Exception):
    """The platform didn't send this."""
