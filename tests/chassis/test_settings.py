"""Where parts find each other, and what callers are told, are two things."""

import pytest

from chassis.settings import Settings


def test_an_address_to_listen_on_everywhere_is_never_told_to_anybody() -> None:
    for host, told in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]")):
        settings = Settings(host=host, port=8000)
        assert settings.told_url("assets") == settings.url("assets") == f"http://{told}:8002"


def test_callers_are_told_what_they_can_reach_and_not_what_the_parts_can() -> None:
    settings = Settings(host="0.0.0.0", urls={"gateway": "http://gateway:8000", "metrics": "http://metrics:8004"})
    assert settings.url("gateway") == "http://gateway:8000"
    assert settings.issuer_url == "http://127.0.0.1:8000"
    assert settings.webhook_url == "http://127.0.0.1:8004"


def test_public_addresses_are_told_where_they_are_named() -> None:
    settings = Settings(public_urls={"gateway": "https://mops.example.com/"}, public_url="https://events.example.com/")
    assert settings.issuer_url == "https://mops.example.com"
    assert settings.url("gateway") == "http://127.0.0.1:8000"
    assert settings.webhook_url == "https://events.example.com"


def test_a_host_of_ipv6_stands_in_brackets() -> None:
    assert Settings(host="::1", port=9000).told_url("goals") == "http://[::1]:9001"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOPS_PUBLIC_URLS", "")
    monkeypatch.setenv("MOPS_PUBLIC_URL", "")
    assert Settings().webhook_url == "http://127.0.0.1:8004"
