"""Decides where Postgres comes from, and who may do what in it."""
