"""Versions of charts, as Helm reads and orders them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering

# What Helm's parser (Masterminds/semver v3, NewVersion) takes: a leading "v" and missing numbers are forgiven.
_VERSION = re.compile(
    r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """A semantic version; build metadata does not count in comparisons.

    Args:
        text: as written.
        numbers: major, minor, patch.
        prerelease: its dot-separated parts, empty for a release.
    """

    text: str
    numbers: tuple[int, int, int]
    prerelease: tuple[str, ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `text`.

        Raises:
            ValueError: it is no semantic version.
        """
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text}' is no semantic version; write MAJOR.MINOR.PATCH, e.g. 1.2.3")
        major, minor, patch = (int(match[number] or 0) for number in (1, 2, 3))
        return cls(text, (major, minor, patch), tuple(match[4].split(".")) if match[4] else ())

    def next_patch(self) -> str:
        """Return the least version to release after this one."""
        major, minor, patch = self.numbers
        return f"{major}.{minor}.{patch if self.prerelease else patch + 1}"

    def _order(self) -> tuple[object, ...]:
        # semver.org, rule 11: a release follows its pre-releases; numbers come before words and compare as numbers.
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (self.numbers, not parts, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._order() == other._order()

    def __lt__(self, other: Version) -> bool:
        return self._order() < other._order()

    def __hash__(self) -> int:
        return hash(self._order())

    def __str__(self) -> str:
        return self.text
