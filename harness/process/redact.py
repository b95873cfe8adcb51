"""Masking secrets in anything that is shown or stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "****"

_SECRET_FLAG = re.compile(r"(--(?:password|token|client-key-data)[= ])(\S+)")
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:)([^\s/@'\"]+)(?=@)")
# A JSON web token, as service accounts carry them: three base64url parts, the first of which begins with {" encoded.
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+")
_SECRET_HEADER = re.compile(r"(?i)\b((?:authorization|x-api-key|cookie):\s*(?:bearer |basic )?)([^\s'\"]+)")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with the given secret values masked, and what carries secrets by its shape.

    Those shapes are: the values of password and token flags, of authorization headers and cookies, passwords in
    addresses, and JSON web tokens.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = _SECRET_FLAG.sub(rf"\1{MASK}", text)
    text = _USER_INFO.sub(rf"\1{MASK}", text)
    text = _JWT.sub(MASK, text)
    return _SECRET_HEADER.sub(rf"\1{MASK}", text)
