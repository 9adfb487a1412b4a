"""Decides how the stack is installed, started and kept running; knows no domain."""
