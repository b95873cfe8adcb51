"""Which capabilities the host lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.capabilities import CAPABILITIES, lacking, missing_capabilities

ALL_41 = 40


@pytest.mark.parametrize(
    ("bounding", "last", "names"),
    [
        pytest.param("000001ffffffffff", ALL_41, (), id="a full set lacks nothing"),
        pytest.param("000001fffeffffff", ALL_41, ("CAP_SYS_RESOURCE",), id="one bit cleared names one capability"),
        pytest.param("0000003fffffffff", 37, (), id="an older kernel knows fewer and lacks none"),
        pytest.param("000001ffffffffff", 41, ("capability 41",), id="a newer kernel's is named by its number"),
        pytest.param("0000000000000000", 1, ("CAP_CHOWN", "CAP_DAC_OVERRIDE"), id="an empty set lacks all"),
    ],
)
def test_lacking(bounding: str, last: int, names: tuple[str, ...]) -> None:
    """Every bit up to the kernel's last that is not in CapBnd is named, in order."""
    assert lacking(f"Name:\tx\nCapInh:\t0\nCapBnd:\t{bounding}\nCapAmb:\t0\n", last) == names


def test_status_without_the_line() -> None:
    """A status without CapBnd is an error, not a host that lacks nothing."""
    with pytest.raises(ValueError, match="CapBnd"):
        lacking("Name:\tx\n", ALL_41)


def test_reads_procfs(tmp_path: Path) -> None:
    """Both numbers come from procfs."""
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/cap_last_cap").write_text("40\n")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text("CapBnd:\t000001fffeffffff\n")
    assert missing_capabilities(tmp_path) == ("CAP_SYS_RESOURCE",)


def test_table_has_the_kernels_numbers() -> None:
    """The place in the table is the bit: spot checks against capability.h."""
    numbers = {name: bit for bit, name in enumerate(CAPABILITIES)}
    assert (numbers["CAP_CHOWN"], numbers["CAP_SYS_ADMIN"], numbers["CAP_CHECKPOINT_RESTORE"]) == (0, 21, 40)
