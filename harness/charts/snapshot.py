"""Golden renders in a test suite, kept by syrupy as one YAML file per values set.

Needs the extra ``seatrial[charts]``. ``--snapshot-update`` writes goldens; one that no test asks for fails the run
(``--snapshot-warn-unused`` only mentions it).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from harness.charts.chart import Chart
from harness.charts.golden import golden_name, golden_texts
from harness.charts.render import Renderer

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion


# syrupy colours its differences character by character, which nobody can read in a log.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class RenderSnapshot(SingleFileSnapshotExtension):
    """Keeps a text as it is in a file of its own, ``__snapshots__/MODULE/TEST[NAME].yaml``."""

    _write_mode = WriteMode.TEXT
    file_extension = "yaml"

    def serialize(self, data: Any, **_: Any) -> str:
        """Return the text itself."""
        return str(data)


class GoldenRenders:
    """Compares charts with their goldens.

    Args:
        snapshot: syrupy's fixture.
        renderer: renders.
    """

    def __init__(self, snapshot: SnapshotAssertion, renderer: Renderer) -> None:
        self._snapshot = snapshot.use_extension(RenderSnapshot)
        self._renderer = renderer

    def __call__(self, chart: Path | str, *, kubernetes: str = "") -> None:
        """Compare every values set of a chart with its golden.

        Args:
            chart: its directory or archive.
            kubernetes: the minor version to render for; Helm's own idea of one by default.

        Raises:
            ChartError: it cannot be read or does not render.
            AssertionError: some differ; the message shows each difference.
        """
        __tracebackhide__ = True
        loaded = Chart.load(Path(chart))
        differing = []
        for values, text in golden_texts(self._renderer, loaded, kubernetes).items():
            golden = self._snapshot(name=golden_name(values))
            if golden != text:
                difference = _COLOUR.sub("", "\n".join(golden.get_assert_diff()))
                differing.append(f"values set '{values}':\n{difference}")
        if differing:
            # The chart's name first: pytest's summary shows one line.
            raise AssertionError(
                f"chart '{loaded.name}' no longer renders to its goldens (--snapshot-update takes it as it is now)\n"
                + "\n".join(differing)
            )
