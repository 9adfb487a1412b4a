"""Decides assets' part of the demo workspace: small files of every kind that the team made for its campaigns."""

import random
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from xml.sax.saxutils import escape

from chassis.demo import Act, Stage, hour, month

COLOURS = ("0f4c5c", "e36414", "5f0f40", "9a031e", "fb8b24", "2a9d8f", "264653")


def acts(anchor: date, campaigns: Sequence[Mapping[str, Any]]) -> Iterator[Act]:
    """The brand's own at the beginning; for each campaign a few, in the weeks before its flight."""
    first = month(anchor, -24)
    found = [Act(hour(first - timedelta(days=15), 13), _keep_brand)]
    for campaign in campaigns:
        start = date.fromisoformat(campaign["flight"]["start"])
        at = max(start - timedelta(days=15), first - timedelta(days=14))
        if at < anchor:
            found.append(Act(hour(at, 13), _make(campaign)))
    return iter(sorted(found, key=lambda act: act.at))


async def _upload(
    stage: Stage, title: str, kind: str, name: str, content: bytes, campaign_ids: Sequence[str] = ()
) -> str:
    data = {"title": title, "kind": kind, "campaign_id": list(campaign_ids)}
    sent = await stage.ask("specialist", "POST", "assets", "/v1/assets", data=data, files={"file": (name, content)})
    return str(sent["id"])


async def _bring(stage: Stage, asset_id: str, *steps: str) -> None:
    """Along the way to readers: the manager approves what the specialist made."""
    for step in steps:
        role = "manager" if step == "approve" else "specialist"
        await stage.ask(role, "POST", "assets", f"/v1/assets/{asset_id}/{step}")


async def _keep_brand(stage: Stage) -> None:
    for place, colour in enumerate(COLOURS[:3]):
        await _upload(stage, f"Logo, version {place + 1}", "logo", f"logo-{place + 1}.svg", svg("Demo", colour))
    await _upload(stage, "Brand colours", "design", "colours.png", png(COLOURS))
    guide = ["What the brand is", "Say what it does.", "Never promise wings."]
    await _upload(stage, "Brand guide", "document", "brand-guide.pdf", pdf(guide))


def _make(campaign: Mapping[str, Any]) -> Any:
    rng = random.Random(campaign["slug"])  # noqa: S311  # what it decides is no secret
    name, slug, colours = campaign["name"], campaign["slug"], rng.sample(COLOURS, 4)

    async def make(stage: Stage) -> None:
        ids = [stage.ids[f"campaign:{slug}"]]
        mail = f"Subject: {name}\n\n{campaign['brief']}\n\nUnsubscribe: {{{{ unsubscribe_url }}}}\n"
        sent = await _upload(stage, f"{name}: mail", "email_template", f"{slug}.txt", mail.encode(), ids)
        await _bring(stage, sent, "submit", "approve", "publish")
        seen = await _upload(stage, f"{name}: key visual", "design", f"{slug}.png", png(colours), ids)
        await _bring(stage, seen, *("submit", "approve")[: rng.randrange(3)])
        if "social" in campaign["channels"]:
            await _upload(stage, f"{name}: post", "ad", f"{slug}-post.svg", svg(name, colours[0]), ids)
        if "web" in campaign["channels"]:
            page = f"# {name}\n\n{campaign['brief']}\n"
            await _upload(stage, f"{name}: landing page", "landing_page", f"{slug}.md", page.encode(), ids)
        if "event" in campaign["channels"]:
            await _upload(stage, f"{name}: leaflet", "document", f"{slug}.pdf", pdf([name, campaign["brief"]]), ids)

    async def do(stage: Stage) -> None:
        # Files are safe on the disk before they are there, and nobody else in the team waits for that.
        await stage.begin(make(stage))

    return do


def svg(text: str, colour: str) -> bytes:
    """A round badge with a name below it."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 160">'
        f'<circle cx="160" cy="64" r="48" fill="#{colour}"/>'
        f'<text x="160" y="146" font-size="20" text-anchor="middle">{escape(text)}</text></svg>'
    ).encode()


def png(colours: Sequence[str], width: int = 240, height: int = 120) -> bytes:
    """Stripes of these colours."""
    row = b"\0" + b"".join(bytes.fromhex(colours[x * len(colours) // width]) for x in range(width))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(row * height)), (b"IEND", b""))
    )  # fmt: skip


def pdf(lines: Sequence[str]) -> bytes:
    """One page with these lines of text."""
    words = [line.replace("\\", "").replace("(", "[").replace(")", "]") for line in lines]
    text = "BT /F1 18 Tf 60 760 Td 26 TL " + " ".join(f"({each}) Tj T*" for each in words) + " ET"
    stream = text.encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 5\n0000000000 65535 f \n%strailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        table, len(out),
    )  # fmt: skip
