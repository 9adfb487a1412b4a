"""What is promised of tokens: whoever forges one, bends one or brings another's is refused."""

import asyncio
import json
import string
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import Response
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from pydantic import ValidationError

from chassis.errors import MopsError, Unauthenticated, Unavailable
from chassis.issuers import LARGEST_DOCUMENT, TrustedIssuer
from chassis.settings import Settings
from chassis.tokens import KEYS_AGE_SECONDS, Principal, Verifier
from tests.chassis.provider import WORKSPACE, Provider, b64, signed

NOW = 1_800_000_000
COMPANY, PARTNER, OURS = "https://login.company.example", "https://login.partner.example", "http://gateway"
EVIL = "https://evil.example"


@dataclass
class World:
    """A service's verifier, our own issuer, two that are trusted beside it, and one who publishes keys by our ids."""

    verifier: Verifier
    company: Provider
    partner: Provider
    evil: Provider
    ours: OKPKey
    ticks: list[float]
    http: httpx.AsyncClient

    def own(self, header: dict[str, Any] | None = None, key: Any = None, **change: Any) -> str:
        whole = {
            "iss": OURS, "aud": "mops", "sub": "client:1", "iat": NOW, "exp": NOW + 600, "scope": "goals:read",
            "workspace_id": WORKSPACE, **change,
        }  # fmt: skip
        claims = {name: value for name, value in whole.items() if value is not None}
        full = {"alg": "Ed25519", "typ": "at+jwt", "kid": "ours", **(header or {})}
        return signed(full, claims, key or self.ours)

    def forward(self, seconds: float) -> None:
        self.ticks[0] += seconds


def trusted(**change: Any) -> TrustedIssuer:
    whole = {
        "name": "company", "issuer": COMPANY, "audience": "mops", "algorithms": ["RS256", "ES256", "EdDSA"],
        "workspace": WORKSPACE, "roles_claim": "groups", "roles": {"Marketing Ops": "manager"},
    }  # fmt: skip
    return TrustedIssuer.model_validate({**whole, **change})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    company, partner = Provider(COMPANY, NOW), Provider(PARTNER, NOW, "partner-")
    evil = Provider(EVIL, NOW)
    evil.keys = {"ours": THIEF_ED, "evil": OKPKey.import_key({**THIEF_ED.as_dict(private=True), "kid": "evil"})}
    mounts = {each.url: httpx.ASGITransport(each.app) for each in (company, partner, evil)}
    ticks = [0.0]
    async with httpx.AsyncClient(mounts=mounts, transport=httpx.ASGITransport(Provider(OURS, NOW).app)) as http:
        both = [trusted(), trusted(name="partner", issuer=PARTNER, audience="partner-mops")]
        verifier = Verifier(OURS, http, lambda: float(NOW), trusted=both, ticks=lambda: ticks[0])
        ours = OKPKey.generate_key("Ed25519", {"kid": "ours"})
        verifier.trust({"keys": [ours.as_dict(private=False)]})
        yield World(verifier, company, partner, evil, ours, ticks, http)


async def test_tokens_of_our_own_and_of_trusted_issuers_are_taken(world: World) -> None:
    own = await world.verifier.verify(world.own())
    assert (own.subject, own.issuer, set(own.scopes)) == ("client:1", "", {"goals:read"})
    for kid, algorithm in (("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")):
        found: Principal = await world.verifier.verify(world.company.token(kid, algorithm))
        assert (found.subject, found.issuer, set(found.roles)) == ("company:00u1", "company", {"manager"})
        assert "budget:approve" in found.scopes
        assert "identity:write" not in found.scopes
        assert str(found.workspace_id) == WORKSPACE
    assert (await world.verifier.verify(world.partner.token("partner-rsa", aud=["x", "partner-mops"]))).issuer


async def refused(world: World, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await world.verifier.verify(token)


def _public(key: Any) -> bytes:
    pem: bytes = key.as_pem(private=False)
    return pem


def _last_spelled_otherwise(token: str) -> str:
    """The same bytes in other letters: the last one's lowest bits mean nothing."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return token[:-1] + letters[letters.index(token[-1]) ^ 1]


RS256 = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}
UNSIGNED = b64(json.dumps({**RS256, "alg": "none"}).encode())
THIEF = RSAKey.generate_key(2048, {"kid": "rsa"})
THIEF_EC = ECKey.generate_key("P-256", {"kid": "ec"})
THIEF_ED = OKPKey.generate_key("Ed25519", {"kid": "ours"})

ATTACKS: dict[str, Callable[[World], str]] = {
    "alg none": lambda w: f"{UNSIGNED}.{b64(json.dumps(w.company.claims()).encode())}.",
    "alg none with a signature": lambda w: ".".join((UNSIGNED, *w.company.token().split(".")[1:])),
    "the public key as a secret": lambda w: signed(
        {**RS256, "alg": "HS256"}, w.company.claims(), _public(w.company.keys["rsa"])
    ),
    "our public key as a secret": lambda w: w.own(
        {"alg": "HS256"}, _public(w.ours)
    ),
    "another algorithm than the key's kind": lambda w: signed(
        {"alg": "RS256", "typ": "at+jwt", "kid": "ec"}, w.company.claims(), THIEF
    ),
    "another algorithm than the key was published for": lambda w: signed(
        {"alg": "PS256", "typ": "at+jwt", "kid": "rsa"}, w.company.claims(), w.company.keys["rsa"]
    ),
    "RS256 for ours": lambda w: w.own({"alg": "RS256"}, THIEF),
    "a key of the attacker's": lambda w: signed(RS256, w.company.claims(), THIEF),
    "our kid, the attacker's key": lambda w: w.own(key=THIEF_ED),
    "an unknown kid": lambda w: w.company.token(header={"kid": "unknown"}),
    "no kid": lambda w: w.company.token(header={"kid": None}),
    "a kid that is a list": lambda w: w.company.token(header={"kid": ["rsa"]}),
    "a kid that is a path": lambda w: w.company.token(header={"kid": "../../../dev/null"}),
    "a kid that is SQL": lambda w: w.company.token(header={"kid": "x' UNION SELECT 'k"}),
    "jku": lambda w: w.own({"jku": f"{EVIL}/keys", "kid": "evil"}, THIEF_ED),
    "jku with a known kid": lambda w: w.own({"jku": f"{EVIL}/keys"}, THIEF_ED),
    "x5u": lambda w: w.own({"x5u": f"{EVIL}/chain"}, THIEF_ED),
    "x5c": lambda w: w.own({"x5c": ["MIIB"]}, THIEF_ED),
    "jwk": lambda w: w.own({"jwk": THIEF_ED.as_dict(private=False)}, THIEF_ED),
    "crit": lambda w: w.company.token(header={"crit": ["exp"]}),
    "crit of a detached payload": lambda w: w.company.token(header={"crit": ["b64"], "b64": True}),
    "an ID token by its type": lambda w: w.company.token(header={"typ": "JWT"}),
    "no type": lambda w: w.company.token(header={"typ": None}),
    "another audience": lambda w: w.company.token(aud="frontend"),
    "other audiences": lambda w: w.company.token(aud=["frontend", "mops2"]),
    "an audience inside an object": lambda w: w.company.token(aud={"mops": 1}),
    "no audience": lambda w: w.company.token(aud=None),
    "another issuer": lambda w: w.company.token(iss="https://evil.example"),
    "almost the issuer": lambda w: w.company.token(iss=f"{COMPANY}/"),
    "an issuer that is a list": lambda w: w.company.token(iss=[COMPANY]),
    "no issuer": lambda w: w.company.token(iss=None),
    "ended": lambda w: w.company.token(exp=NOW),
    "no end": lambda w: w.company.token(exp=None),
    "an end in words": lambda w: w.company.token(exp=str(NOW + 600)),
    "an end that is true": lambda w: w.own(exp=True),
    "an end that never comes": lambda w: w.company.token(exp=float("inf")),
    "begins later": lambda w: w.company.token(nbf=NOW + 120),
    "issued later and begun long ago": lambda w: w.company.token(iat=NOW + 120, nbf=NOW - 60),
    "another issuer by our own key": lambda w: w.own(iss="https://evil.example"),
    "a time of issue that is true": lambda w: w.own(iat=True),
    "begins in words": lambda w: w.company.token(nbf="never"),
    "issued later": lambda w: w.company.token(iat=NOW + 120),
    "issued never": lambda w: w.company.token(iat=float("nan")),
    "no time of issue": lambda w: w.company.token(iat=None),
    "no subject": lambda w: w.company.token(sub=None),
    "an empty subject": lambda w: w.company.token(sub=""),
    "a subject that is a number": lambda w: w.company.token(sub=1),
    "a subject with a line break": lambda w: w.company.token(sub="a\nb"),
    "a subject without end": lambda w: w.company.token(sub="a" * 300),
    "issuer A by a key of issuer B": lambda w: signed(
        {"alg": "RS256", "typ": "at+jwt", "kid": "partner-rsa"}, w.company.claims(), w.partner.keys["partner-rsa"]
    ),
    "ours by a key of issuer A": lambda w: w.own({"kid": "ed"}, w.company.keys["ed"]),
    "a claim that stands twice": lambda w: signed(
        RS256,
        json.dumps(w.company.claims())[:-1].encode() + b',"sub":"00u2"}',
        w.company.keys["rsa"],
    ),
    "claims that are a list": lambda w: signed(
        RS256, json.dumps([w.company.claims()]).encode(), w.company.keys["rsa"]
    ),
    "claims nested without end": lambda w: signed(
        RS256, b'{"a":' + b"[" * 8000, w.company.keys["rsa"]
    ),
    "too large": lambda w: w.company.token(padding="x" * 20_000),
    "encrypted": lambda w: jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A128GCM", "typ": "at+jwt", "kid": "rsa"},
        json.dumps(w.company.claims()).encode(),
        RSAKey.import_key(_public(w.company.keys["rsa"])),
    ),
    "padded": lambda w: w.company.token() + "==",
    "padded inside": lambda w: w.company.token("ed", "EdDSA").replace(".", "=.", 1),
    "a space inside": lambda w: w.company.token().replace(".", ". ", 1),
    "a line break behind": lambda w: w.company.token() + "\n",
    "spelled otherwise": lambda w: _last_spelled_otherwise(w.company.token("ed", "EdDSA")),
    "a fourth part": lambda w: w.company.token() + ".AAAA",
    "a workspace of nobody's": lambda w: w.own(workspace_id="nonsense"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_refused_and_leads_nowhere(world: World, attack: str) -> None:
    for token in (world.company.token(), world.partner.token("partner-rsa", aud="partner-mops")):
        await world.verifier.verify(token)  # so that all keys are at hand
    await refused(world, ATTACKS[attack](world))
    assert world.evil.fetched == []


@pytest.mark.parametrize(("claim", "seconds", "taken"), [("nbf", 60, True), ("nbf", 61, False), ("iat", 60, True)])
async def test_clocks_may_differ_by_a_minute(world: World, claim: str, seconds: int, taken: bool) -> None:
    times: dict[str, Any] = {claim: NOW + seconds}
    token = world.company.token(**times)
    if taken:
        assert await world.verifier.verify(token)
    else:
        await refused(world, token)


async def test_ours_are_signed_by_one_algorithm_whatever_we_publish(world: World) -> None:
    world.verifier.trust(
        {"keys": [world.ours.as_dict(private=False), world.company.keys["rsa"].as_dict(private=False)]}
    )
    assert await world.verifier.verify(world.own())
    await refused(world, world.own({"alg": "RS256", "kid": "rsa"}, world.company.keys["rsa"]))


async def test_a_token_that_was_taken_ends_all_the_same(world: World) -> None:
    token = world.company.token()
    await world.verifier.verify(token)
    world.verifier.clock = lambda: float(NOW + 600)
    await refused(world, token)


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_an_unsupported_key_in_the_set_costs_no_other(world: World) -> None:
    weak = RSAKey.generate_key(1024, {"kid": "weak"})
    secret = OctKey.generate_key(256, {"kid": "secret"})
    world.company.keys |= {
        "weak": weak,
        "secret": secret,
        "enc": RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"}),
    }
    assert await world.verifier.verify(world.company.token())
    for kid, algorithm in (("weak", "RS256"), ("enc", "RS256"), ("secret", "HS256")):
        await refused(world, world.company.token(kid, algorithm))


async def test_a_foreign_subject_never_passes_for_a_service_or_a_client(world: World) -> None:
    for subject in ("service:goals", "client:1", "operator"):
        found = await world.verifier.verify(world.company.token(sub=subject))
        assert found.subject == f"company:{subject}"
        assert not found.is_service
    for name in ("service", "client", "member", "operator", "Company", ""):
        with pytest.raises(ValidationError):
            trusted(name=name)


async def test_an_issuer_speaks_for_its_own_workspaces_alone(world: World) -> None:
    speaks = trusted(workspace=None, workspace_claim="org.id", workspaces={"acme": WORKSPACE})
    assert str(speaks.workspace_of({"org": {"id": "acme"}})) == WORKSPACE
    for claims in ({"org": {"id": WORKSPACE}}, {"org": {"id": ["acme"]}}, {"org": "acme"}, {}):
        with pytest.raises(ValueError, match="no workspace"):
            speaks.workspace_of(claims)
    found = await world.verifier.verify(world.company.token(workspace_id="0197c0de-0000-7000-8000-00000000ffff"))
    assert str(found.workspace_id) == WORKSPACE


async def test_scopes_and_roles_that_a_foreign_token_claims_mean_nothing_here(world: World) -> None:
    found = await world.verifier.verify(world.company.token(roles=["admin"], scope="identity:write", groups=["admin"]))
    assert (found.roles, found.scopes) == (frozenset(), frozenset())


async def test_an_issuer_that_marks_no_access_tokens_is_told_from_its_id_tokens_by_their_claims(world: World) -> None:
    world.verifier = Verifier(OURS, world.http, lambda: float(NOW), trusted=[trusted(typ="JWT")])
    assert await world.verifier.verify(world.company.token(header={"typ": "JWT"}))
    for claim in ("nonce", "at_hash", "c_hash"):
        await refused(world, world.company.token(header={"typ": "JWT"}, **{claim: "x"}))


async def test_a_key_that_is_unknown_is_looked_for_at_a_bounded_rate(world: World) -> None:
    await world.verifier.verify(world.company.token())
    before = len(world.company.fetched)
    for n in range(20):
        await refused(world, world.company.token(header={"kid": f"made-up-{n}"}))
    assert len(world.company.fetched) == before
    world.company.keys["new"] = RSAKey.generate_key(2048, {"kid": "new"})
    world.forward(11)
    assert await world.verifier.verify(world.company.token("new"))


async def test_many_who_come_before_the_keys_are_fetched_wait_for_them_together(world: World) -> None:
    tokens = [world.company.token(sub=f"00u{n}") for n in range(10)]
    assert all(await asyncio.gather(*map(world.verifier.verify, tokens)))
    assert world.company.fetched.count("keys") == 1
    world.company.keys["new"] = RSAKey.generate_key(2048, {"kid": "new"})
    world.forward(11)
    tokens = [world.company.token("new", sub=f"00u{n}") for n in range(10)]
    assert all(await asyncio.gather(*map(world.verifier.verify, tokens)))
    assert world.company.fetched.count("keys") == 2


async def test_a_withdrawn_key_is_refused_once_the_keys_are_old(world: World) -> None:
    token = world.company.token("ec", "ES256")
    await world.verifier.verify(token)
    del world.company.keys["ec"]
    world.forward(300)
    assert await world.verifier.verify(token)
    world.forward(1)
    await refused(world, token)


async def test_the_last_keys_stay_in_use_while_the_issuer_is_away(world: World) -> None:
    token = world.company.token()
    await world.verifier.verify(token)
    world.company.answers["keys"] = Response(status_code=500)
    world.forward(KEYS_AGE_SECONDS * 10)
    assert await world.verifier.verify(token)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("keys", Response(status_code=302, headers={"location": f"{EVIL}/keys"})),
        ("keys", Response(b'{"keys": [], "x": "' + b"x" * LARGEST_DOCUMENT + b'"}')),
        ("keys", Response(b"[]")),
        ("keys", Response(b'{"keys": {}}')),
        ("keys", Response(b"not JSON")),
        ("keys", Response(b"\x1f\x8b", headers={"content-encoding": "gzip"})),
        (".well-known/openid-configuration", Response(status_code=404)),
    ],
)
async def test_keys_that_come_otherwise_than_they_must_are_not_taken(world: World, path: str, answer: Response) -> None:
    world.company.answers[path] = answer
    with pytest.raises(Unavailable):
        await world.verifier.verify(world.company.token())


@pytest.mark.parametrize(
    "said",
    [{"issuer": PARTNER}, {"jwks_uri": "http://login.company.example/keys"}, {"jwks_uri": "http://127.0.0.1/keys"},
     {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": None}],
)  # fmt: skip
async def test_a_discovery_document_leads_nowhere_else(world: World, said: dict[str, Any]) -> None:
    world.company.said = said
    with pytest.raises(MopsError):
        await world.verifier.verify(world.company.token())
    assert "keys" not in world.company.fetched


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://login.company.example"}, {"jwks_url": "http://10.0.0.1/keys"}, {"algorithms": ["HS256"]},
        {"algorithms": ["none"]}, {"algorithms": []}, {"workspace": None}, {"roles": {}}, {"roles": {"a": "owner"}},
        {"workspaces": {"a": WORKSPACE}, "workspace_claim": "a"}, {"audience": ""}, {"unknown": 1},
    ],
)  # fmt: skip
def test_an_issuer_can_not_be_trusted_carelessly(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        trusted(**change)


def test_issuers_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOPS_TRUSTED_ISSUERS", f"[{trusted().model_dump_json()}]")
    assert Settings().trusted_issuers == [trusted()]
