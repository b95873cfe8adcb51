"""How programs are asked for their version, and what they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from harness.commands import kind

# Program -> arguments that print its version without asking a cluster or the network.
VERSION_ARGS: Mapping[str, tuple[str, ...]] = {
    "kind": kind.version(),
    "kubectl": ("version", "--client", "--output=json"),
    "helm": ("version", "--short"),
    "go": ("env", "GOVERSION"),
}

_VERSION = re.compile(r"(\d+\.\d+(?:\.\d+)?)")


def parse_version(program: str, stdout: str) -> str:
    """Return the version a program printed, e.g. ``v1.34.4``; ``go`` answers ``go1.26.8``, returned as ``v1.26.8``.

    Raises:
        ValueError: there is no version in `stdout`.
    """
    if program == "kubectl":
        stdout = str(json.loads(stdout).get("clientVersion", {}).get("gitVersion", ""))
    match = _VERSION.search(stdout)
    if match is None:
        raise ValueError(f"no version in what {program} printed: '{stdout.strip()[:200]}'")
    return f"v{match[1]}"
