"""Decides who acted by what several events of one recipient and message, or of one company, say together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from services.metrics.event.rules import HONEYPOT_LINK, EventType, EventVerdict

# No person follows two links of a mail within a second, nor five within ten.
SAME_SECOND_LINKS = "same_second_links"
SAME_SECOND = timedelta(seconds=1)
BURST_OF_CLICKS = "burst_of_clicks"
MOST_CLICKS, BURST = 5, timedelta(seconds=10)
# What follows a link that no person sees follows the others too, the one to unsubscribe among them.
BESIDE_HONEYPOT = "beside_honeypot"
BESIDE_SCANNER = "beside_scanner"
BESIDE = timedelta(seconds=60)
# A company's filter follows all of its people's links as the mails come in.
BULK_UNSUBSCRIBE = "bulk_unsubscribe"
MOST_LEAVING, LEAVING = 5, timedelta(seconds=5)
# Of these hosts so many people are independent of each other that nothing can be said.
PUBLIC = frozenset({
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com",
    "me.com", "aol.com", "gmx.de", "gmx.net", "web.de", "t-online.de", "proton.me", "protonmail.com",
})  # fmt: skip
# How far from an event another may lie whose verdict it has a say in: a click by a trap makes an unsubscribe by it a
# machine's. With a tick, as a span ends before its end.
REACH = 2 * BESIDE + timedelta(microseconds=1)


class Act(NamedTuple):
    """A click or an unsubscribe of somebody who is known by an id."""

    id: UUID
    type: EventType
    recipient_id: UUID
    domain: str
    message_id: str | None
    url: str | None
    at: datetime
    verdict: EventVerdict
    reasons: tuple[str, ...]


def judge_together(acts: Iterable[Act]) -> Mapping[UUID, tuple[str, ...]]:
    """The acts that are a machine's by what stands around them, each with its reasons. Whom a person or a single event
    has judged already isn't among them. More acts only add to what fewer say, whatever the order."""
    found: dict[UUID, set[str]] = defaultdict(set)
    every = list({act.id: act for act in acts}.values())
    of_message: dict[tuple[UUID, str | None], list[Act]] = defaultdict(list)
    of_domain: dict[str, list[Act]] = defaultdict(list)
    for act in sorted(every, key=lambda act: act.at):
        of_message[act.recipient_id, act.message_id].append(act)
        if act.type is EventType.UNSUBSCRIBED and act.domain and act.domain not in PUBLIC:
            of_domain[act.domain].append(act)
    for together in of_message.values():
        _judge_message(together, found)
    for leaving in of_domain.values():
        for run in _runs(leaving, LEAVING):
            if len({act.recipient_id for act in run}) >= MOST_LEAVING:
                for act in run:
                    found[act.id].add(BULK_UNSUBSCRIBE)
    human = {act.id for act in every if act.verdict is EventVerdict.HUMAN and not act.reasons}
    return {each: tuple(sorted(why)) for each, why in found.items() if each in human}


def _judge_message(acts: Sequence[Act], found: dict[UUID, set[str]]) -> None:
    clicks = [act for act in acts if act.type is EventType.CLICKED]
    for run in _runs(clicks, SAME_SECOND):
        if len({act.url for act in run}) > 1:
            for act in run:
                found[act.id].add(SAME_SECOND_LINKS)
    for run in _runs(clicks, BURST):
        if len(run) >= MOST_CLICKS:
            for act in run:
                found[act.id].add(BURST_OF_CLICKS)
    trapped = [act for act in clicks if HONEYPOT_LINK in act.reasons]
    for act in acts:
        if act.id not in {each.id for each in trapped} and _near(act, trapped):
            found[act.id].add(BESIDE_HONEYPOT)
    scanning = [act for act in clicks if act.id in found or act.verdict is EventVerdict.BOT]
    for act in acts:
        if act.type is EventType.UNSUBSCRIBED and _near(act, scanning):
            found[act.id].add(BESIDE_SCANNER)


def _runs(acts: Sequence[Act], span: timedelta) -> Iterable[Sequence[Act]]:
    """Of acts in the order of time, all that lie within a span that begins with each of them."""
    last = 0
    for first, act in enumerate(acts):
        last = max(last, first)
        while last < len(acts) and acts[last].at - act.at < span:
            last += 1
        yield acts[first:last]


def _near(act: Act, others: Sequence[Act]) -> bool:
    return any(abs(act.at - other.at) <= BESIDE for other in others)
