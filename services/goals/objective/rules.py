"""Decides whom an objective can be for."""

from enum import StrEnum


class Stakeholder(StrEnum):
    CEO = "ceo"
    CIO = "cio"
    CMO = "cmo"
    DIRECTOR = "director"
    OTHER = "other"
