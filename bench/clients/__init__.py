"""What frontends' own clients make of a running gateway."""
