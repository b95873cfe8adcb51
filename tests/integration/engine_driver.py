"""``seatrial engine`` as a process of its own: ``python engine_driver.py STATE_DIR DATA_DIR OCI_RUNTIME VERB...``.

The tests run it inside a network namespace of their own, where no other engine is disturbed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from harness.engine import cli
from harness.errors import SeatrialError
from harness.process.runner import SubprocessRunner
from harness.progress import LiveProgress
from harness.settings.model import EngineSettings, Settings


class OneProgram:
    """A supply that knows the OCI runtime wrapper only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def program(self, name: str) -> SimpleNamespace:
        """Return the wrapper."""
        assert name == "oci-runtime"
        return SimpleNamespace(path=self._path)


def main(state_dir: str, data_dir: str, runtime: str, *argv: str) -> int:
    """Run one verb and return its exit code; 3 for an error that Seatrial raises on purpose."""
    engine = EngineSettings(None, managed=True, install=False, state_dir=Path(state_dir), data_dir=Path(data_dir))
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    args = parser.parse_args(["engine", *argv])
    # An empty configuration directory: the developer's own Docker context is none of this engine's business.
    environ = {"DOCKER_CONFIG": state_dir, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    settings = cast("Settings", SimpleNamespace(engine=engine, supply=SimpleNamespace(offline=False)))
    supply = OneProgram(Path(runtime))
    try:
        return cli.run(args, settings, SubprocessRunner(), supply, LiveProgress(sys.stderr), environ=environ)
    except SeatrialError as error:
        sys.stderr.write(f"{error}\n")
        return 3


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
