"""Decides what the budget service should do, in plain Python: positions, holds and invoices as dictionaries, money as
fractions; and plays any story to both, comparing everything after each step."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

import httpx
from hypothesis import strategies as st

DAY = "2026-06-15"
TOLERANCE = Fraction(5, 100)
LINES = (("EUR", "stop"), ("EUR", "warn"), ("USD", "stop"))
PINNED = Context(prec=18, rounding=ROUND_HALF_EVEN)
POTS = ("given", "reserved", "committed", "actual", "fx", "price")

Step = tuple[Any, ...]
# Large and odd ones too, which no float holds.
minors = st.integers(1, 40_000) | st.integers(10**16, 4 * 10**16).map(lambda minor: minor | 1)
places = st.integers(0, 7)
lines = st.integers(0, len(LINES) - 1)
currencies = st.sampled_from(("EUR", "USD"))
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("allot"), lines, minors),
    st.tuples(st.just("transfer"), lines, lines, minors),
    st.tuples(st.just("request"), lines, minors, currencies),
    st.tuples(st.just("request"), lines, minors, currencies),
    st.tuples(st.just("commit"), places),
    st.tuples(st.just("commit"), places),
    st.tuples(st.sampled_from(("void", "close")), places),
    st.tuples(st.just("bill"), places, st.integers(1, 130)),
    st.tuples(st.just("bill"), places, st.integers(60, 108)),
    st.tuples(st.just("pay"), lines, minors, currencies),
    st.tuples(st.just("reverse"), places),
    st.tuples(st.just("rate"), st.sampled_from(("0.8", "1", "1.25", "1.1172", "0.3333"))),
)


# Stories that tell by themselves whether money is kept as it should be; each is red where one of the bugs is that
# `bench.budget_model` knows.
TELLING: tuple[list[Step], ...] = (
    [("request", 0, 100, "EUR"), ("allot", 0, 99), ("request", 0, 100, "EUR"), ("request", 0, 99, "EUR")],
    [("rate", "1.1172"), ("request", 1, 30_000_000_000_000_001, "USD"), ("pay", 1, 23_456_789_012_345_679, "USD")],
    [("pay", 1, 12_345, "EUR"), ("request", 1, 700, "EUR"), ("commit", 0), ("bill", 0, 100)],
    [("rate", "1.1172"), ("request", 1, 12_347, "USD"), ("commit", 0), ("bill", 0, 33), ("rate", "0.3333"),
     ("bill", 0, 29), ("bill", 0, 38)],
    # Of more than was ordered a little is taken back, so that it still is as much.
    [("request", 1, 28_184, "EUR"), ("commit", 0), ("bill", 0, 1), ("bill", 0, 36), ("bill", 0, 68), ("reverse", 0),
     ("reverse", 1)],
    # Closed for less than was ordered, and then none of it was bought; or voided after it was closed for less.
    [("request", 1, 6000, "EUR"), ("commit", 0), ("bill", 0, 60), ("bill", 0, 10), ("close", 0), ("reverse", 1),
     ("reverse", 0)],
    [("request", 1, 28_184, "EUR"), ("commit", 0), ("bill", 0, 1), ("bill", 0, 36), ("bill", 0, 68), ("reverse", 0),
     ("reverse", 1), ("reverse", 2), ("void", 0)],
    # So little that nothing of it arrives.
    [("rate", "4"), ("allot", 2, 153), ("transfer", 2, 0, 1), ("transfer", 2, 0, 2), ("transfer", 2, 0, 3)],
)  # fmt: skip


def nearest(exact: Fraction) -> int:
    """Half to even, by another way than the service's."""
    whole, rest = divmod(exact, 1)
    return int(whole) + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and int(whole) % 2 == 1))


@dataclass
class Asked:
    id: str
    line: int
    currency: str
    ordered: int
    state: str = "approved"
    left: int = 0
    held: int = 0
    invoiced: int = 0
    saved: int = 0  # what letting go of it has given back as price


@dataclass
class Paid:
    id: str
    line: int
    asked: Asked | None
    minor: int
    spent: int
    worth: int
    covered: int
    posted: bool = True


@dataclass
class Model:
    """The same workspace, as it should be."""

    rate: Fraction = Fraction(1)  # dollars for a euro
    pots: list[dict[str, int]] = field(default_factory=lambda: [dict.fromkeys(POTS, 0) for _ in LINES])
    asked: list[Asked] = field(default_factory=list)
    paid: list[Paid] = field(default_factory=list)

    def convert(self, minor: int, currency: str, into: str) -> int:
        # A rate is pinned with 18 digits.
        if currency == into:
            return minor
        exact = 1 / self.rate if currency == "USD" else self.rate
        return nearest(minor * Fraction(PINNED.divide(Decimal(exact.numerator), Decimal(exact.denominator))))

    def available(self, line: int) -> int:
        pots = self.pots[line]
        return pots["given"] - pots["reserved"] - pots["committed"] - pots["actual"]

    def fits(self, line: int, taken: int) -> bool:
        return taken <= 0 or LINES[line][1] == "warn" or self.available(line) >= taken

    def add(self, line: int, **changes: int) -> None:
        for pot, minor in changes.items():
            self.pots[line][pot] += minor


@dataclass
class Play:
    """One story in the real service and in the model."""

    ask: Callable[..., Awaitable[httpx.Response]]
    ids: list[str]
    model: Model = field(default_factory=Model)
    serial: int = 0

    async def post(self, who: str, path: str, body: Any = None) -> httpx.Response:
        return await self.ask(who, "POST", path, json=body)

    async def step(self, step: Step) -> None:
        name, *rest = step
        await getattr(self, name)(*rest)
        await self.compare(step)

    async def allot(self, line: int, minor: int) -> None:
        answer = await self.post("bob", f"/v1/lines/{self.ids[line]}/allot", {"amount": money(minor, LINES[line][0])})
        assert answer.status_code == 200, answer.text
        self.model.add(line, given=minor)

    async def transfer(self, source: int, target: int, minor: int) -> None:
        if source == target:
            return
        body = {"from_line_id": self.ids[source], "to_line_id": self.ids[target], "reason": "x",
                "amount": money(minor, LINES[source][0])}  # fmt: skip
        proposed = (await self.post("ada", "/v1/transfers", body)).json()
        fits = self.model.fits(source, minor)
        answer = await self.post("bob", f"/v1/transfers/{proposed['id']}/approve")
        assert answer.status_code == (200 if fits else 409), answer.text
        if fits:
            self.model.add(source, given=-minor)
            self.model.add(target, given=self.model.convert(minor, LINES[source][0], LINES[target][0]))

    async def request(self, line: int, minor: int, currency: str) -> None:
        body = {"title": "x", "line_id": self.ids[line], "amount": money(minor, currency)}
        made = (await self.post("ada", "/v1/requests", body)).json()
        await self.post("ada", f"/v1/requests/{made['id']}/submit")
        held = self.model.convert(minor, currency, LINES[line][0])
        fits = self.model.fits(line, held)
        answer = await self.post("bob", f"/v1/requests/{made['id']}/approve")
        assert answer.status_code == (200 if fits else 409), answer.text
        if fits:
            self.model.add(line, reserved=held)
            self.model.asked.append(Asked(made["id"], line, currency, minor, left=minor, held=held))

    def _asked(self, place: int) -> Asked | None:
        return self.model.asked[place % len(self.model.asked)] if self.model.asked else None

    async def commit(self, place: int) -> None:
        if (asked := self._asked(place)) is None:
            return
        can = asked.state == "approved"
        answer = await self.post("ada", f"/v1/requests/{asked.id}/commit")
        assert answer.status_code == (200 if can else 409), answer.text
        if can:
            asked.state = "committed"
            self.model.add(asked.line, reserved=-asked.held, committed=asked.held)

    async def void(self, place: int) -> None:
        await self._end(place, "void", {"approved", "committed"}, "voided")

    async def close(self, place: int) -> None:
        await self._end(place, "close", {"committed", "part_invoiced"}, "closed")

    async def _end(self, place: int, verb: str, states: set[str], end: str) -> None:
        if (asked := self._asked(place)) is None:
            return
        can = asked.state in states
        answer = await self.post("bob", f"/v1/requests/{asked.id}/{verb}", {"reason": "x"} if verb == "void" else None)
        assert answer.status_code == (200 if can else 409), answer.text
        if can:
            pot = "reserved" if asked.state == "approved" else "committed"
            saved = asked.held if end == "closed" and asked.invoiced > 0 else 0
            self.model.add(asked.line, price=-saved, **{pot: -asked.held})
            asked.state, asked.left, asked.held, asked.saved = end, 0, 0, asked.saved + saved
            self._save_nothing(asked)

    async def bill(self, place: int, percent: int) -> None:
        """An invoice of an order, for a share of what was ordered."""
        if (asked := self._asked(place)) is None:
            return
        minor, model, line = max(1, asked.ordered * percent // 100), self.model, asked.line
        open_order = asked.state in ("committed", "part_invoiced")
        matches = open_order and asked.invoiced + minor <= asked.ordered + int(asked.ordered * TOLERANCE)
        covered = min(minor, asked.left)
        part = asked.held if covered >= asked.left else asked.held * covered // asked.left
        worth, spent = (model.convert(each, asked.currency, LINES[line][0]) for each in (covered, minor))
        # What the rate takes must fit by itself, and then all of it.
        fits = matches and model.fits(line, worth - part) and model.fits(line, spent - part)
        invoice = await self._invoice(asked.line, minor, asked.currency, asked.id)
        assert invoice["state"] == ("posted" if fits else "exception"), invoice
        if fits:
            asked.left, asked.held, asked.invoiced = asked.left - covered, asked.held - part, asked.invoiced + minor
            model.add(line, committed=-part, actual=spent, fx=worth - part, price=spent - worth)
            model.paid.append(Paid(invoice["id"], line, asked, minor, spent, worth, covered))
            self._note(asked)

    def _save_nothing(self, asked: Asked) -> None:
        """Of what nothing was bought in the end, nothing was bought for less."""
        if not asked.invoiced:
            self.model.add(asked.line, price=asked.saved)
            asked.saved = 0

    def _note(self, asked: Asked) -> None:
        if asked.invoiced >= asked.ordered:
            self.model.add(asked.line, committed=-asked.held, price=-asked.held)
            asked.state, asked.left, asked.held, asked.saved = "closed", 0, 0, asked.saved + asked.held
        else:
            asked.state = "part_invoiced" if asked.invoiced else "committed"

    async def pay(self, line: int, minor: int, currency: str) -> None:
        """An invoice that nobody has ordered."""
        spent = self.model.convert(minor, currency, LINES[line][0])
        fits = self.model.fits(line, spent)
        invoice = await self._invoice(line, minor, currency, None)
        assert invoice["state"] == ("posted" if fits else "exception"), invoice
        if fits:
            self.model.add(line, actual=spent)
            self.model.paid.append(Paid(invoice["id"], line, None, minor, spent, 0, 0))

    async def _invoice(self, line: int, minor: int, currency: str, request: str | None) -> dict[str, Any]:
        self.serial += 1
        body = {"line_id": self.ids[line], "number": f"{self.ids[0]} {self.serial}", "date": DAY,
                "amount": money(minor, currency), "request_id": request}  # fmt: skip
        made = (await self.post("ada", "/v1/invoices", body)).json()
        # Sent twice at once, it counts once.
        answers = [await self.post("bob", f"/v1/invoices/{made['id']}/post") for _ in range(2)]
        found: dict[str, Any] = answers[0].json()
        assert answers[1].status_code == (409 if found["state"] == "posted" else 200)
        return found

    async def reverse(self, place: int) -> None:
        if not self.model.paid:
            return
        paid = self.model.paid[place % len(self.model.paid)]
        answer = await self.post("bob", f"/v1/invoices/{paid.id}/reverse", {"reason": "x"})
        assert answer.status_code == (200 if paid.posted else 409), answer.text
        if not paid.posted:
            return
        paid.posted = False
        self.model.add(paid.line, actual=-paid.spent)
        asked = paid.asked
        if asked is None:
            return
        self.model.add(paid.line, price=paid.worth - paid.spent)
        if asked.state == "closed" and asked.invoiced < asked.ordered:
            asked.invoiced -= paid.minor
            self._save_nothing(asked)
            return  # closed by hand: what comes back is available
        if paid.covered:
            asked.left, asked.held = asked.left + paid.covered, asked.held + paid.worth
            self.model.add(asked.line, committed=paid.worth)
        asked.invoiced -= paid.minor
        self._note(asked)

    async def rate(self, value: str) -> None:
        answer = await self.post("bob", "/v1/rates", {"csv": f"Date,USD\n{DAY},{value}"})
        assert answer.status_code == 201, answer.text
        self.model.rate = Fraction(value)

    async def compare(self, step: Step) -> None:
        found = (await self.ask("bob", "GET", "/v1/line-positions", params={"line_id": self.ids})).json()["items"]
        for line, item in enumerate(found):
            position = {name: minor_of(value) for name, value in item["position"].items()}
            pots = self.model.pots[line]
            wanted = {"allotted": pots["given"], "available": self.model.available(line),
                      **{pot: pots[pot] for pot in ("reserved", "committed", "actual", "fx", "price")}}  # fmt: skip
            found_here = {name: position[name] for name in wanted}
            assert found_here == wanted, f"{step} on line {line}: {found_here} in place of {wanted}"
            assert LINES[line][1] == "warn" or position["available"] >= 0, (step, line)


def money(minor: int, currency: str) -> dict[str, str]:
    return {"amount": f"{minor // 100}.{minor % 100:02}", "currency": currency}


def minor_of(value: dict[str, str]) -> int:
    return int(Decimal(value["amount"]).scaleb(2))


async def play(ask: Callable[..., Awaitable[httpx.Response]], story: Sequence[Step]) -> Play:
    """A story from its beginning, on lines of its own."""
    ids = []
    for currency, policy in LINES:
        line = {"name": "x", "department": "x", "currency": currency, "policy": policy,
                "period": {"start": "2026-01-01", "end": "2027-01-01"}}  # fmt: skip
        ids.append((await ask("ada", "POST", "/v1/lines", json=line)).json()["id"])
    played = Play(ask, ids)
    await played.rate("1")
    for step in story:
        await played.step(step)
    return played
