"""Decides what holds for a post whichever platform it comes from."""

# Bytes of a body from which on it is read in a thread: beside several that are read in threads, whoever waits for the
# database waits for the interpreter as well. Less than this takes 20 ms.
LARGE = 500_000
PAUSED_SECONDS = 300
# The one status on which every platform sends again, for when it isn't known which one it is.
ANYBODYS_RETRY = 429


class NotBelievedError(Exception):
    """The platform didn't send this."""
