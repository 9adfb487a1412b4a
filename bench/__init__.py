"""Runs that are too long or too noisy for tests; each prints its figures as JSON at its end."""
