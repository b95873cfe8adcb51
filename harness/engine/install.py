"""The programs an engine of our own needs, from Debian's packages where they are missing."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import EngineError
from harness.process.command import Command
from harness.process.runner import Runner
from harness.progress import Progress

# Program -> Debian package. docker.io brings containerd and runc with it.
PACKAGES = {"dockerd": "docker.io", "docker": "docker.io", "iptables": "iptables", "ip": "iproute2"}
# From Debian 13 on the client is a package of its own, which docker.io only recommends.
CLIENT_PACKAGE = "docker-cli"
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# 18 s were measured on a machine with two cores; a slow mirror takes minutes.
INSTALL_USUAL_S = 18.0
INSTALL_TIMEOUT_S = 900.0
LOCK_TIMEOUT_S = 120

POLICY_FILE = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# written by seatrial"


def search_path(environ: Mapping[str, str]) -> str:
    """Return PATH with the system's directories at its end: a user's PATH often lacks the ``sbin`` ones."""
    own = [part for part in environ.get("PATH", "").split(os.pathsep) if part]
    return os.pathsep.join([*own, *(part for part in SYSTEM_PATH if part not in own)])


def missing_programs(path: str) -> tuple[str, ...]:
    """Return which of the needed programs are not on `path`."""
    return tuple(program for program in PACKAGES if shutil.which(program, path=path) is None)


def is_debian(os_release: Path = Path("/etc/os-release")) -> bool:
    """Whether this is Debian or derived from it (os-release(5): ``ID`` and ``ID_LIKE``)."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return "debian" in f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', " ").split()


def install_programs(
    runner: Runner,
    progress: Progress,
    environ: Mapping[str, str],
    *,
    forbidden_by: str,
    debian: bool,
    policy_file: Path = POLICY_FILE,
) -> None:
    """See to it that every needed program is there, saying so before anything is installed.

    Args:
        runner: runs apt.
        progress: told before the installation.
        environ: the environment; read is PATH.
        forbidden_by: the option that forbids to install packages, empty when they may be installed.
        debian: whether this is Debian or derived from it.
        policy_file: the file that decides whether packages may start services (Debian's invoke-rc.d policy layer).

    Raises:
        EngineError: programs are missing and may not be, or were not, installed.
    """
    path = search_path(environ)
    missing = missing_programs(path)
    if not missing:
        return
    by_hand = f"apt-get install --no-install-recommends {' '.join(_packages(missing))}"
    if not debian or shutil.which("apt-get", path=path) is None:
        raise EngineError(
            "start a Docker engine of our own",
            seen=f"not on PATH: {', '.join(missing)}; and this is not Debian or Ubuntu",
            hint="install Docker as your distribution does it, or name a reachable engine with DOCKER_HOST",
        )
    if forbidden_by:
        raise EngineError(
            "start a Docker engine of our own",
            seen=f"not on PATH: {', '.join(missing)}; installing packages was forbidden ({forbidden_by})",
            hint=f"`{by_hand}`, or run again without {forbidden_by}",
        )
    progress.say(f"missing on this machine: {', '.join(missing)}; installing Debian packages for them with apt-get")
    with progress.step("install Debian packages for the Docker engine", usual_s=INSTALL_USUAL_S):
        _install(runner, path, missing, policy_file)
    still = missing_programs(path)
    if still:
        raise EngineError(
            "install the programs a Docker engine needs",
            seen=f"apt-get succeeded and these are still not on PATH: {', '.join(still)}",
            hint=f"look at `{by_hand}`",
        )


def _packages(missing: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(PACKAGES[program] for program in missing))


def _install(runner: Runner, path: str, missing: tuple[str, ...], policy_file: Path) -> None:
    env: dict[str, str | None] = {"DEBIAN_FRONTEND": "noninteractive", "PATH": path}

    def apt(*arguments: str) -> Command:
        lock = ("-o", f"DPkg::Lock::Timeout={LOCK_TIMEOUT_S}")
        return Command(("apt-get", *lock, *arguments), env=env, timeout_s=INSTALL_TIMEOUT_S)

    runner.run(apt("update", "--quiet")).check(hint="apt-get must reach a Debian mirror")
    packages = _packages(missing)
    offered = runner.run(Command(("apt-cache", "show", "--no-all-versions", CLIENT_PACKAGE), env=env))
    if "docker" in missing and offered.succeeded and offered.stdout.strip():
        packages.append(CLIENT_PACKAGE)
    with services_stay_down(policy_file):
        runner.run(apt("install", "--yes", "--quiet", "--no-install-recommends", *packages)).check(
            hint=f"`apt-get install {' '.join(packages)}` by hand shows more"
        )


@contextlib.contextmanager
def services_stay_down(policy_file: Path) -> Iterator[None]:
    """Keep the packages from starting the distribution's own engine while they are installed.

    docker.io's installation starts its service wherever an init system runs. The policy file is written only where
    there is none, speaks about these services only, and for as long as this process lives: one that is left behind by
    a kill changes nothing, and the next installation replaces it.
    """
    if policy_file.exists() and POLICY_MARK not in policy_file.read_text(encoding="utf-8", errors="replace"):
        yield
        return
    policy_file.write_text(
        f"#!/bin/sh\n{POLICY_MARK} while process {os.getpid()} installs packages; has no effect afterwards\n"
        f'case "$1" in\n  docker*|containerd*) kill -0 {os.getpid()} 2>/dev/null && exit 101 ;;\nesac\nexit 0\n',
        encoding="utf-8",
    )
    policy_file.chmod(0o755)
    try:
        yield
    finally:
        policy_file.unlink(missing_ok=True)
