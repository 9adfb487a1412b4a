"""Decides whether outgoing webhooks go on to those who take them, reach nobody else, and outlive the gateway.

A real stack posts by real TLS to receivers of this machine. One takes all; beside it one fails, one hangs, one leads
elsewhere, and the name of one leads elsewhere every other time. Then a hundred endpoints spell places that may not be
reached; those whose URL is refused at once are written past the API into the table. Whoever listens in these places
counts who comes. At last the gateway is killed while events happen. `launch` says what isn't as in production.
"""

import asyncio
import json
import os
import ssl
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import asyncpg
import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bench.receivers.places import BEHIND, PUBLIC, REBINDS, RECEIVERS, spellings
from deploy.postgres import cluster
from tests.gateway.receiver import HANGS, Receiver
from tests.stack.conftest import Running, database_of_its_own, free_ports, started_over

WHO = "other-admin"
EVENTS, EVERY, KILLS = 40, 0.2, 2
HAPPENS, SPELLED = "goals.campaign.created", "goals.goal.created"
# The last two: how much later those who take all are told beside the others.
BARS = {"lost": 0, "strangers": 0, "spellings": 60, "p50": 2.0, "p99": 5.0}


# --- who receives -----------------------------------------------------------------------------------------------------


def certified(folder: Path, names: list[str]) -> ssl.SSLContext:
    """What a server of these names shows; `chain.pem` in the folder is what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receivers")])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2040, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    shows = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shows.load_cert_chain(chain, private)
    return shows


class Silent:
    """Places where nobody may come, and who came."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()

    async def note(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came["{}:{}".format(*writer.get_extra_info("sockname")[:2])] += 1
        writer.close()

    @asynccontextmanager
    async def watched(self, *places: tuple[str, int]) -> AsyncIterator[None]:
        """Listens there, and sees that it would notice."""
        servers = [await asyncio.start_server(self.note, host, port) for host, port in places]
        for host, port in places:
            _, writer = await asyncio.open_connection({"0.0.0.0": BEHIND, "::": "::1"}.get(host, host), port)
            writer.close()
        while self.came.total() < len(places):  # noqa: ASYNC110  # once, and soon
            await asyncio.sleep(0.01)
        self.came.clear()
        try:
            yield
        finally:
            for each in servers:
                each.close()


# --- what happens -----------------------------------------------------------------------------------------------------


class Told:
    """A stack, those whom it tells, and when each was told of what."""

    def __init__(self, stack: Running, receiver: Receiver, port: int) -> None:
        self.stack, self.receiver, self.port = stack, receiver, port
        self.http = httpx.AsyncClient(
            headers={"Authorization": stack.client("gateway", WHO).headers["authorization"]},
            timeout=30,
            trust_env=False,
        )
        self.happened: dict[str, float] = {}
        self.came: dict[str, float] = {}
        self.wrong_signatures = 0
        self.secret = ""
        receiver.answers["/good"] = self.take

    def take(self, post: Any) -> int:
        self.came.setdefault(post.event["subject"], time.monotonic())
        self.wrong_signatures += not post.signed_by(self.secret)
        return 204

    async def ask(self, part: str, path: str, **body: Any) -> httpx.Response:
        return await self.http.post(self.stack.url(part) + path, json=body)

    async def endpoint(self, name: str, path: str = "") -> Any:
        url = f"https://{name}:{self.port}{path or '/' + name.partition('.')[0]}"
        answer = await self.ask("gateway", "/v1/endpoints", url=url, types=[HAPPENS])
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def happen(self, count: int) -> list[str]:
        """So many campaigns, at an even pace, straight at their service; their ids."""
        made = []
        for _ in range(count):
            at = time.monotonic()
            slug = f"campaign-{len(self.happened)}"
            flight = {"start": "2026-01-01", "end": "2027-01-01"}
            body = {"name": slug, "slug": slug, "channels": ["email"], "territories": ["DE"], "flight": flight}
            answer = await self.ask("goals", "/v1/campaigns", **body)
            assert answer.status_code == 201, answer.text
            made.append(answer.json()["id"])
            self.happened[made[-1]] = time.monotonic()
            await asyncio.sleep(max(0.0, at + EVERY - time.monotonic()))
        return made

    async def told_of(self, made: list[str], seconds: float = 40) -> list[str]:
        """Those that nobody was told of, when all have been or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.receiver.came:
                await self.receiver.came.wait_for(lambda: self.came.keys() >= set(made))
        return [each for each in made if each not in self.came]

    async def latencies(self) -> tuple[float, float]:
        """Milliseconds from a commit's answer to the receiver, of many events: p50 and p99."""
        made = await self.happen(EVENTS)
        assert not await self.told_of(made), "some didn't arrive"
        took = sorted(max(0.0, self.came[each] - self.happened[each]) * 1000 for each in made)
        return statistics.median(took), took[len(took) * 99 // 100]


async def spell(told: Told, silent: int, dsn: str) -> Counter[str]:
    """Endpoints at each spelling, and what became of telling them."""
    urls, at_once = spellings(silent), asyncio.Semaphore(4)

    async def make(url: str) -> httpx.Response:
        async with at_once:
            return await told.ask("gateway", "/v1/endpoints", url=url, types=[SPELLED])

    answers = await asyncio.gather(*map(make, urls))
    assert {each.status_code for each in answers} == {201, 422}
    refused = [url for url, each in zip(urls, answers, strict=True) if each.status_code == 422]
    found = Counter({"refused when asked for": len(refused)})
    db = await asyncpg.connect(dsn)
    for url, made in zip(
        refused, await asyncio.gather(*(make("https://nowhere.example/") for _ in refused)), strict=True
    ):
        assert made.status_code == 201, made.text
        await db.execute("UPDATE gateway.endpoint SET url = $1 WHERE id = $2::text::uuid", url, made.json()["id"])
    goal = {"title": "Goal", "metric": {"key": "email.ctr"}, "kind": "reach", "target": {"value": 3}}
    answer = await told.ask("goals", "/v1/goals", **goal, window={"start": "2026-01-01", "due": "2027-01-01"})
    assert answer.status_code == 201, answer.text
    asked = "SELECT last_error, last_status FROM gateway.webhook_delivery WHERE type = $1 AND attempts > 0"
    async with asyncio.timeout(30):
        while len(tried := await db.fetch(asked, SPELLED)) < len(urls):  # noqa: ASYNC110  # elsewhere
            await asyncio.sleep(0.2)
    await db.close()
    assert all(each["last_status"] is None for each in tried), "somebody answered"
    return found + Counter(each["last_error"] for each in tried)


async def kill_under(told: Told) -> tuple[list[str], int]:
    """The gateway dies while events happen: who was never told, and how many were told more than once."""
    before = len(told.receiver.to("/good"))
    happening = asyncio.create_task(told.happen(EVENTS))
    for _ in range(KILLS):
        await asyncio.sleep(EVENTS * EVERY / KILLS * 0.7)
        os.kill(told.stack.pid("gateway"), SIGKILL)
    made = await happening
    lost = await told.told_of(made)
    return lost, len(told.receiver.to("/good")) - before - len(set(made) - set(lost))


# --- the whole --------------------------------------------------------------------------------------------------------


async def run(stack: Running, dsn: str, shows: ssl.SSLContext, port: int, silent: int) -> dict[str, Any]:
    statuses = {"/fails": 500, "/hangs": HANGS, "/moves": 302}
    # Where its redirects lead.
    receiver, watch = Receiver(f"https://{BEHIND}:{silent}", dict(statuses)), Silent()
    inside = (("0.0.0.0", silent), ("::", silent), (BEHIND, port), ("::1", port))
    async with watch.watched(*inside), await asyncio.start_server(receiver.serve, PUBLIC, port, ssl=shows):
        told = Told(stack, receiver, port)
        told.secret = (await told.endpoint("good.example"))["secret"]
        await told.told_of(await told.happen(20))
        alone = await told.latencies()
        for name in (*(f"{each}.example" for each in RECEIVERS[1:]), REBINDS):
            await told.endpoint(name)
        beside = await told.latencies()
        became = await spell(told, silent, dsn)
        for words, count in became.most_common():
            print(f"{count:6} spellings: {words}")
        posts = {path: len(receiver.to(path)) for path in (*statuses, "/rebinds")}
        print("posts to the others: " + ", ".join(f"{path} {count}" for path, count in posts.items()))
        assert all(posts.values()), "one of them was never posted to"
        for who, (p50, p99) in (("alone", alone), ("beside them", beside)):
            print(f"{who:12} p50 {p50:6.1f} ms, p99 {p99:6.1f} ms from a commit's answer to its receiver")
        lost, twice = await kill_under(told)
        print(f"killed {KILLS} times under {EVENTS} events: {len(lost)} lost, {twice} told again")
        print(f"who came where nobody may: {dict(watch.came) or 'nobody'}; wrong signatures: {told.wrong_signatures}")
        receiver.ending.set()
        await told.http.aclose()
        figures = {
            "lost": len(lost), "strangers": watch.came.total(), "spellings": len(spellings(silent)),
            "p50": round(beside[0] / alone[0], 2), "p99": round(beside[1] / alone[1], 2),
        }  # fmt: skip
        return {"ratios": figures, "ms": {"alone": alone, "beside": beside}, "told_again": twice}


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, cluster.running(Path(folder) / "postgres") as up:
        here, port = Path(folder), free_ports(2)
        shows = certified(here, [*(f"{each}.example" for each in RECEIVERS), REBINDS])
        trusts = {"SSL_CERT_FILE": str(here / "chain.pem")}
        with (
            database_of_its_own(here / "home", up.admin_dsn) as database,
            started_over(here / "home", database | trusts, "bench.receivers.launch") as stack,
        ):
            found = asyncio.run(run(stack, database["DATABASE_URL"], shows, port, port + 1))
    print(f"{time.monotonic() - began:.0f} s in all\n")
    print(json.dumps({"bench": "receivers", **found, "bars": BARS}))


if __name__ == "__main__":
    main()
