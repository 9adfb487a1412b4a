"""Decides how much of a demo workspace is asked for; apart from what makes it, which has to import every service."""

import os

# How much mail there is, beside all else.
SIZES = {"full": 1.0, "small": 0.02, "none": 0.0}


class DemoError(Exception):
    """Why the demo workspace can't be filled, and what would help."""


def asked_size() -> float:
    """What MOPS_DEMO asks for; 0 for none."""
    asked = os.environ.get("MOPS_DEMO") or "full"
    if asked not in SIZES:
        raise DemoError(f"MOPS_DEMO is {asked!r}, but should be one of {', '.join(SIZES)}")
    return SIZES[asked]
