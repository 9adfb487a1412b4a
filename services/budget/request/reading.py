"""Decides what callers see of a request that isn't on its row as it is."""

from chassis.answers import Derive, of_row
from chassis.fields import Money
from services.budget.request import store

DERIVED: dict[str, Derive] = {
    "items": store.parts_of,
    **{
        name: of_row(lambda row, name=name: Money.of_minor(getattr(row, name), row.currency))  # type: ignore[misc]
        for name in ("amount", "received", "invoiced")
    },
}
