"""What `seatrial supply` prints, as text made from values."""

from __future__ import annotations

from collections.abc import Sequence

from harness.progress import spoken_duration
from harness.supply.artifact import Files, Image, Program
from harness.supply.inventory import Item, Pruned

_DAY_S = 86_400
_HOUR_S = 3_600
_MINUTE_S = 60
# Enough hex digits to compare by eye; `--long` shows all.
_DIGEST_DIGITS = 12

_HEADINGS = ("NAME", "STATE", "SOURCE", "VERSION", "DIGEST", "SIZE", "AGE", "WHERE")


def items_table(items: Sequence[Item], *, now: float, long: bool = False) -> str:
    """Return a table of artifacts, in the order given.

    Args:
        items: what to show.
        now: seconds since the epoch, for the ages.
        long: show digests in full.
    """
    return _table([_HEADINGS, *(_row(item, now, long=long) for item in items)])


def verified_report(checked: Sequence[tuple[Item, str]]) -> str:
    """Return one line per artifact that was checked, and how many are unsound."""
    lines = [
        f"{'damaged' if problem else 'ok':8} {item.location}{f': {problem}' if problem else ''}"
        for item, problem in checked
    ]
    damaged = sum(1 for _, problem in checked if problem)
    return "\n".join([*lines, f"{len(checked)} checked, {damaged} damaged"])


def pruned_report(pruned: Pruned) -> str:
    """Return what a prune removed and what it had to leave."""
    lines = [f"removed {location}" for location in pruned.removed]
    lines += [f"kept    {location}: {reason}" for location, reason in pruned.kept]
    if pruned.unseen:
        lines.append(f"images were not looked at: {pruned.unseen}")
    return "\n".join([*lines, f"{len(pruned.removed)} artifacts removed, {size(pruned.freed_bytes)} freed"])


def supplied_line(supplied: Program | Files | Image) -> str:
    """Return one line about an artifact that is there now."""
    provenance = supplied.provenance
    where = supplied.reference if isinstance(supplied, Image) else supplied.path
    return f"{provenance.name} {provenance.version} ({provenance.source}): {where}"


def size(size_bytes: int) -> str:
    """Return a size as people say it, in powers of 1000 as disks are sold.

    >>> size(15_532_194)
    '15.5 MB'
    """
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:  # noqa: PLR2004 - the step from one unit to the next
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def age(seconds: float) -> str:
    """Return an age in its largest unit.

    >>> age(7_300)
    '2 h'
    """
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _row(item: Item, now: float, *, long: bool) -> tuple[str, ...]:
    if not item.location:
        usual = f"takes about {spoken_duration(item.usual_s)} to build" if item.usual_s else ""
        return (item.name, item.state, "-", item.version, "-", "-", "-", usual)
    digest = item.digest if long else item.digest.removeprefix("sha256:")[:_DIGEST_DIGITS]
    shown_age = age(now - item.made_at) if item.made_at else "-"
    return (
        *(item.name, item.state, item.source or "-", item.version, digest or "-"),
        *(size(item.size_bytes), shown_age, item.location),
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
