"""Decides what is measured that takes too long, or is too noisy, for a test."""
