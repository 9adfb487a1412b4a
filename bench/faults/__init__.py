"""Decides how the stack is shown to lose nothing and to double nothing, however its processes die."""
