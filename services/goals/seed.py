"""Decides goals' part of the demo workspace: what the team wants, the campaigns it runs for it, and how that went."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from chassis.demo import Act, Stage, hour, month

Json = dict[str, Any]

OBJECTIVES = (
    ("Revenue from the customers that we have", "ceo", "Revenue, what marketing returns, and how it serves the plan."),
    ("Marketing spends what it was given, and says on what", "ceo", "Actuals beside the plan, every month."),
    ("Software used to the full", "cio", "Seats that are used, contracts that end, systems that talk to each other."),
    ("One funnel with sales", "cmo", "What becomes of a lead, and who has to do something about it."),
    ("A list that welcomes our mail", "cmo", "Deliverability, complaints, and who leaves."),
    ("Creative work that can be measured", "director", "Which message worked, and what to make next."),
)
OWNERS = ("Mara Lindqvist", "Tomasz Nowak", "Aylin Kaya", "Jonas Weber", "Inês Carvalho", "Samir Haddad")

# What the team does in each month of a year: name, what for, channels.
MONTHS = (
    ("New year, new workflow", "Plans for the year are made now: show what a tidy process saves.", ("email", "web")),
    ("Customer stories", "Four customers tell how they work with us.", ("email", "social", "video")),
    ("Spring collection", "The new range, to everybody who bought last year.", ("email", "social", "display")),
    ("Hanover fair", "Meetings at the fair, and a mail to those who came.", ("email", "event", "print")),
    ("Summer preview", "A first look, for subscribers only.", ("email", "social")),
    ("Half-year webinars", "Three webinars with sales; every seat is a lead.", ("email", "web", "event")),
    ("Slow summer", "Short tips for those who stay at their desks.", ("email",)),
    ("Back to business", "Offers for September, to those who were silent over the summer.", ("email", "search")),
    ("Autumn launch", "The second range of the year.", ("email", "social", "display", "video")),
    ("Partner month", "Partners write to their lists, and we to ours.", ("email", "web")),
    ("Black week", "Four days, one offer, the largest mailing of the year.", ("email", "search", "social", "display")),
    ("Season's greetings", "Thanks, and nothing to buy.", ("email", "print")),
)


def slug(name: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in name.lower().replace("'", "")).replace("--", "-")


def campaigns(anchor: date) -> list[Json]:
    """What the team ran in the two years before `anchor`, runs now, and plans: as callers send them."""
    first = month(anchor, -24)
    found: list[Json] = []
    for after in range(-24, 5):
        begins = month(anchor, after)
        name, brief, channels = MONTHS[begins.month - 1]
        found.append(_campaign(f"{name} {begins.year}", brief, begins, 1, channels))
        if begins.month % 3 == 1 and after < 3:
            quarter = f"Product news {begins.year} Q{begins.month // 3 + 1}"
            found.append(_campaign(quarter, "What is new, for customers and sales alike.", begins, 3, ("email", "web")))
        if begins.month in (2, 8) and after < 1:
            brief = "Whoever hasn't opened a mail for half a year gets three more, and is then left in peace."
            found.append(_campaign(f"Win back {begins:%Y-%m}", brief, begins, 2, ("email",)))
        if begins.month == 9:
            found.append(_campaign(f"Posters {begins.year}", "Stations and trams.", begins, 2, ("print",)))
    for year in range(first.year, anchor.year + 1):
        begins = max(first, date(year, 1, 1))
        months = 13 - begins.month
        brief = "Every second week, to everybody who asked for it."
        found.append(_campaign(f"Newsletter {year}", brief, begins, months, ("email",)))
        brief = "Five mails in the first fortnight, sent by our own system."
        found.append(_campaign(f"Onboarding {year}", brief, begins, months, ("email", "web")))
    found.sort(key=lambda each: str(each["flight"]["start"]))
    return [{**each, "owner": OWNERS[place % len(OWNERS)]} for place, each in enumerate(found)]


def _campaign(name: str, brief: str, begins: date, months: int, channels: Sequence[str]) -> Json:
    """One of so many months. All begin and end on a fifth: what a day begins is only looked at once."""
    start, end = begins + timedelta(days=4), month(begins, months) + timedelta(days=4)
    territories = ["DE", "AT", "CH"] if "fair" not in name else ["DE"]
    flight = {"start": start.isoformat(), "end": end.isoformat()}
    return {
        "name": name, "slug": slug(name), "brief": brief, "flight": flight, "channels": list(channels),
        "territories": territories,
    }  # fmt: skip


def acts(anchor: date, planned: Sequence[Mapping[str, Any]]) -> Iterator[Act]:
    """Objectives first, then each campaign some months ahead of its flight, and goals as their time came."""
    first = month(anchor, -24)
    found = [Act(hour(first - timedelta(days=20), 10), _name_objectives)]
    for campaign in planned:
        ahead = date.fromisoformat(campaign["flight"]["start"]) - timedelta(days=100)
        at = hour(max(first - timedelta(days=19), min(ahead, anchor - timedelta(days=3))), 11)
        found.append(Act(at, _start(campaign)))
        found += _moves(campaign, anchor)
    found += _goals(anchor, planned)
    return iter(sorted(found, key=lambda act: act.at))


async def _name_objectives(stage: Stage) -> None:
    for place, (name, stakeholder, needs) in enumerate(OBJECTIVES):
        asked = {"name": name, "stakeholder": stakeholder, "needs": needs}
        objective = await stage.ask("manager", "POST", "goals", "/v1/objectives", json=asked)
        stage.ids[f"objective:{place}"] = objective["id"]


def _start(campaign: Mapping[str, Any]) -> Any:
    async def do(stage: Stage) -> None:
        created = await stage.ask("specialist", "POST", "goals", "/v1/campaigns", json=dict(campaign))
        stage.ids[f"campaign:{campaign['slug']}"] = created["id"]

    return do


def _moves(campaign: Mapping[str, Any], anchor: date) -> Iterator[Act]:
    """What the team decides of a campaign; that it goes live and is completed its dates do by themselves."""
    start, end = (date.fromisoformat(campaign["flight"][key]) for key in ("start", "end"))
    decided = max(start - timedelta(days=3), month(anchor, -24) + timedelta(days=2))
    ahead = (decided - anchor).days
    # As long before it is approved as the longest month, so that on any day one is planned and not approved.
    if ahead < 75:
        decided = min(decided, anchor - timedelta(days=2))
        yield _move(decided, 10, "specialist", campaign, "plan")
    if ahead < 40:
        yield _move(decided, 15, "manager", campaign, "approve")
    if campaign["slug"].startswith("posters") and ahead < 0:
        reason = "The agency can't keep the date."
        yield _move(decided, 17, "manager", campaign, "cancel", {"reason": reason})
    elif end < anchor - timedelta(days=365):
        yield _move(end + timedelta(days=200), 17, "specialist", campaign, "archive")
    elif campaign["slug"].startswith("product-news") and start < anchor - timedelta(days=2) and end > anchor:
        reason = "The page that it leads to is being rebuilt."
        yield _move(anchor - timedelta(days=1), 12, "specialist", campaign, "pause", {"reason": reason})


def _move(day: date, hours: float, role: str, campaign: Mapping[str, Any], verb: str, body: Json | None = None) -> Act:
    async def do(stage: Stage) -> None:
        campaign_id = stage.ids[f"campaign:{campaign['slug']}"]
        await stage.ask(role, "POST", "goals", f"/v1/campaigns/{campaign_id}/{verb}", json=body)

    return Act(hour(day, hours), do)


def _goals(anchor: date, planned: Sequence[Mapping[str, Any]]) -> list[Act]:
    """Goals of which each state and health is to be seen: some of each year, each quarter, and of today."""
    now = month(anchor, 0)
    found: list[Act] = []

    def goal(
        title: str, metric: str, kind: str, target: Json, window: tuple[date, date], objective: int,
        baseline: tuple[date, date] | None = None, slugs: Sequence[str] = (), active: bool = True,
        at: date | None = None, part: float = 0,
    ) -> None:  # fmt: skip
        body: Json = {
            "title": title, "metric": {"key": metric}, "kind": kind, "target": target,
            "window": {"start": window[0].isoformat(), "due": window[1].isoformat()},
            "owner": OWNERS[len(found) % len(OWNERS)], "relevance": OBJECTIVES[objective][2],
        }  # fmt: skip
        if baseline:
            body["baseline"] = {"from": baseline[0].isoformat(), "to": baseline[1].isoformat()}
        when = at or max(window[0] - timedelta(days=5), month(anchor, -24) + timedelta(days=1))
        found.append(Act(hour(when, 14), _set(body, objective, slugs, active, part)))
        # What ended this quarter still waits for its review.
        looked_back = window[1] + timedelta(days=21)
        if active and looked_back < anchor - timedelta(days=60):
            found.append(Act(hour(looked_back, 16), _look_back(title)))

    def year_ago(span: tuple[date, date]) -> tuple[date, date]:
        return month(span[0], -12), month(span[1], -12)

    for after in range(-24, 1, 3):
        span = (month(now, after), month(now, after + 3))
        name = f"{span[0]:%b %Y}"
        slugs = [each["slug"] for each in planned if f"{span[0]}" <= each["flight"]["start"] < f"{span[1]}"]
        goal(f"Click-through of the quarter from {name}", "email.ctr", "keep_above", {"value": 6 if after % 9 else 40},
             span, 5, slugs=slugs)  # fmt: skip
        if after < 0:
            goal(f"Bounces below 2 % from {name}", "email.bounce_rate", "keep_below", {"value": 2}, span, 4)
        if -12 <= after < 0:
            percent = "8" if after % 2 else "90"
            goal(f"Total clicks up {percent} % on last year's quarter, from {name}", "email.total_clicks", "increase",
                 {"change_percent": percent}, span, 0, baseline=year_ago(span))  # fmt: skip
    last, this = (month(now, -12), now), (month(now, -2), month(now, 4))
    goal("Increase total clicks from e-mail by 25 % within one year", "email.total_clicks", "increase",
         {"change_percent": "25"}, last, 0, baseline=year_ago(last))  # fmt: skip
    half = (month(now, -3), month(now, 9))
    goal("Increase total clicks from e-mail by 15 % within the year to come", "email.total_clicks", "increase",
         {"change_percent": "15"}, half, 0, baseline=(month(now, -15), month(now, -3)))  # fmt: skip
    lately = anchor - timedelta(days=2)
    goal("Bounces stay below 2 %", "email.bounce_rate", "keep_below", {"value": 2}, this, 4, at=lately)
    goal("Complaints stay below one in a thousand", "email.complaint_rate", "keep_below", {"value": 0.1}, this, 4,
         at=lately)  # fmt: skip
    # Amid what is at risk: the two days since moved the rate of a small workspace by up to a twentieth.
    goal("Half of those who get our mail look at it", "email.open_rate", "keep_above", {}, this, 3, at=lately,
         part=0.875)  # fmt: skip
    goal("One click for each four who look", "email.ctr", "keep_above", {}, this, 5, at=lately, part=0.6)
    goal("Bounces below half a percent", "email.bounce_rate", "keep_below", {"value": 0.5}, last, 4)
    reason = "The old list can't be that clean; we ask for 2 % instead."
    found.append(_close(month(now, -7), "Bounces below half a percent", reason))
    goal("A thousand clicks by Christmas cards", "email.total_clicks", "reach", {"value": 1000}, this, 0, active=False,
         at=lately)  # fmt: skip
    found.append(_close(anchor - timedelta(days=1), "A thousand clicks by Christmas cards", "Cards have no links."))
    ahead = (month(now, 1), month(now, 4))
    # What is planned now may begin after the quarter of today, and must serve a goal before.
    slugs = [each["slug"] for each in planned if f"{month(now, 3)}" <= each["flight"]["start"] < f"{ahead[1]}"]
    goal("Total clicks of the next quarter", "email.total_clicks", "increase", {"change_percent": "20"}, ahead, 0,
         baseline=year_ago(ahead), active=False, at=anchor - timedelta(days=3), slugs=slugs)  # fmt: skip
    goal("Fewer who leave the list", "email.unsubscribe_rate", "decrease", {"change_percent": "10"}, ahead, 4,
         baseline=year_ago(ahead), active=False, at=lately)  # fmt: skip
    return found


def _set(body: Json, objective: int, slugs: Sequence[str], active: bool, part: float) -> Any:
    async def do(stage: Stage) -> None:
        known = [stage.ids[f"campaign:{each}"] for each in slugs if f"campaign:{each}" in stage.ids]
        asked = {**body, "objective_id": stage.ids[f"objective:{objective}"], "campaign_ids": known}
        if part:
            asked["target"] = {"value": await _value_over(stage, body, part)}
        goal = await stage.ask("specialist", "POST", "goals", "/v1/goals", json=asked)
        stage.ids[f"goal:{body['title']}"] = goal["id"]
        if active:
            await _activate(stage, goal["id"])

    return do


async def _activate(stage: Stage, goal_id: str) -> None:
    """Lets a goal begin: on a manager's word where history says that it can't be reached."""
    smart = await stage.ask("specialist", "GET", "goals", f"/v1/goals/{goal_id}/smart")
    for letter in smart["letters"]:
        if letter["verdict"] == "fail":
            reason = {"letter": letter["letter"], "reason": "We know that it is more than we ever did."}
            await stage.ask("manager", "POST", "goals", f"/v1/goals/{goal_id}/override", json=reason)
    await stage.ask("manager", "POST", "goals", f"/v1/goals/{goal_id}/activate")


def _look_back(title: str) -> Any:
    async def do(stage: Stage) -> None:
        goal = await stage.ask("specialist", "GET", "goals", f"/v1/goals/{stage.ids[f'goal:{title}']}")
        learned = {
            "achieved": ("What we sent early in the week did most of it.", "Mondays and Tuesdays come first."),
            "missed": ("Half of those we wrote to never read.", "Win back first, then write to the rest."),
        }  # fmt: skip
        if goal["state"] in learned:
            review = dict(zip(("learned", "changes"), learned[goal["state"]], strict=True))
            await stage.ask("manager", "POST", "goals", f"/v1/goals/{goal['id']}/review", json=review)

    return do


def _close(day: date, title: str, reason: str) -> Act:
    async def do(stage: Stage) -> None:
        path = f"/v1/goals/{stage.ids[f'goal:{title}']}/cancel"
        await stage.ask("manager", "POST", "goals", path, json={"reason": reason})

    return Act(hour(day, 15), do)


async def _value_over(stage: Stage, body: Json, part: float) -> float:
    """A target of which what is measured now is this part: so a goal is at risk, or off its track, on any day."""
    await stage.be_done()
    key, since = body["metric"]["key"], body["window"]["start"]
    asked = {"from": since, "to": stage.now.date().isoformat(), "grain": "total"}
    found = await stage.ask("specialist", "GET", "metrics", f"/v1/metrics/{key}/series", params=asked)
    return round(float(found["series"][0]["points"][0]["value"]) / part, 1)
