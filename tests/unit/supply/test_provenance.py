"""The record beside an artifact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.supply.artifact import Provenance
from harness.supply.provenance import Record, file_digest


def test_record_survives_writing_and_reading(provenance: Callable[..., Provenance]) -> None:
    """What is read back is what was written."""
    record = Record(provenance("kind", digest="sha256:ab"), "kind", 15, 123)
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"provenance": {"name": "kind"}}', '{"provenance": null, "file": "x"}'],
    ids=["empty", "cut", "list", "no-fields", "fields-missing", "null"],
)
def test_damaged_record_is_a_value_error(text: str) -> None:
    """Whatever a damaged file holds, the reader learns that it is no record."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own words differ between Python versions
        Record.from_json(text)


def test_file_digest_is_sha256(tmp_path: Path) -> None:
    """The digest is the SHA-256 of the bytes, also of a file longer than one read."""
    content = b"x" * 3_000_000
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == f"sha256:{hashlib.sha256(content).hexdigest()}"
