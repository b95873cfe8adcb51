"""Paths into JSON values, e.g. ``$.score[1]``, as JSON Schema validators and jq users write them."""

from __future__ import annotations

import json
import re

ROOT = "$"

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def child(path: str, step: str | int) -> str:
    """Return the path of a member (`step` is its key) or an item (its index) of the value at `path`.

    >>> child(child("$", "score"), 1)
    '$.score[1]'
    >>> child("$", "t:0")
    '$["t:0"]'
    """
    if isinstance(step, int):
        return f"{path}[{step}]"
    if _PLAIN_KEY.fullmatch(step):
        return f"{path}.{step}"
    return f"{path}[{json.dumps(step, ensure_ascii=False)}]"
