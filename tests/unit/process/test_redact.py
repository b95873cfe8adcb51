"""Secrets are masked, and nothing else is."""

from __future__ import annotations

import pytest

from harness.process.redact import redact

SHOWN = {
    "a password flag": ("helm login --password=hunter2 host", "helm login --password=**** host"),
    "a token flag with a blank": ("kubectl --token abc get pods", "kubectl --token **** get pods"),
    "a bearer header": (
        "curl --header 'Authorization: Bearer abc' http://a",
        "curl --header 'Authorization: Bearer ****' http://a",
    ),
    "a basic header in lower case": ("authorization: basic abc", "authorization: basic ****"),
    "a cookie": ("Cookie: session=abc", "Cookie: ****"),
    "a password in an address": ("push https://me:hunter2@example.com/x", "push https://me:****@example.com/x"),
    "a service account's token": (
        "token eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWIifQ.c2ln end",
        "token **** end",
    ),
    "an address with a port": ("http://127.0.0.1:5000/score", "http://127.0.0.1:5000/score"),
    "an image by digest": ("kindest/node:v1@sha256:abc", "kindest/node:v1@sha256:abc"),
    "a flag that ends alike": ("--token-ttl 5", "--token-ttl 5"),
    "an ordinary header": ("Content-Type: application/json", "Content-Type: application/json"),
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.values(), ids=SHOWN.keys())
def test_shapes(text: str, shown: str) -> None:
    """What carries secrets by its shape is masked without being told; what merely looks alike stays."""
    assert redact(text) == shown


def test_known_values() -> None:
    """A value that is known to be secret is masked wherever it stands, every time."""
    assert redact("a hunter2 b hunter2", ["hunter2"]) == "a **** b ****"


def test_empty_secret_masks_nothing() -> None:
    """An empty secret does not cover the text with masks."""
    assert redact("plain", [""]) == "plain"
