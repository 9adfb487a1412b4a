"""Runs that measure or break: too long or too noisy for tests."""
