"""Masking secrets in anything that is shown or stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "****"

_SECRET_FLAG = re.compile(r"(--(?:password|token|client-key-data)[= ])(\S+)")
_SECRET_HEADER = re.compile(r"(?i)\b((?:authorization|x-api-key|cookie):\s*(?:bearer |basic )?)([^\s'\"]+)")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with the given secret values, and values of flags and headers that carry secrets, masked."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = _SECRET_FLAG.sub(rf"\1{MASK}", text)
    return _SECRET_HEADER.sub(rf"\1{MASK}", text)
