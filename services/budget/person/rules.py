"""Decides which scope shows people's names and addresses; without it they are null."""

PEOPLE = "budget:people"
