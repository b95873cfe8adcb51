"""Base images from Debian packages, where no base image can be pulled.

``[rootfs]`` in ``recipe.toml``::

    variant = "minbase"        # of mmdebstrap; "extract" unpacks packages without running their scripts
    packages = ["systemd"]
    setup = "setup.sh"         # run with the new root as its argument, outside of it
    host_ca = true             # put the host's bundle of certificate authorities into it
    config = ["CMD [...]"]     # Dockerfile instructions for the image's configuration

The recipe's pin ``debian`` names the release.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import docker.errors
import requests

from harness.engine.engine import Engine
from harness.engine.install import is_debian
from harness.errors import BuildError
from harness.naming import LABEL_PREFIX
from harness.process.command import Command
from harness.process.runner import Runner
from harness.progress import Progress
from harness.supply.builders.image import SILENCE_S
from harness.supply.builders.protocol import Build
from harness.supply.recipe import Recipe

# Which certificate authorities an image trusts, beyond what its recipe says: digest of the host's bundle.
LABEL_HOST_CA = f"{LABEL_PREFIX}/host-ca"

# 65 s were measured for the largest; a slow mirror takes minutes.
BOOTSTRAP_TIMEOUT_S = 1800.0
INSTALL_TIMEOUT_S = 600.0

# What an image for programs never reads.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/lintian/*", "/usr/share/locale/*", "/usr/share/man/*")

# Where distributions keep the bundle of authorities a host trusts: Debian, Fedora, openSUSE, Alpine.
HOST_CA_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
_IMAGE_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class RootfsBuilder:
    """Builds recipes of kind ``rootfs`` with mmdebstrap.

    Args:
        runner: runs mmdebstrap, and apt when it is missing.
        engine: gives the engine the image goes to.
        progress: told before a package is installed.
        install: whether mmdebstrap may be installed.
        debian: whether this host is Debian or derived from it.
        root: whether this process is root.
        ca_bundles: where to look for the host's certificate authorities.
    """

    def __init__(
        self,
        runner: Runner,
        engine: Callable[[], Engine],
        progress: Progress,
        *,
        install: bool,
        debian: bool | None = None,
        root: bool | None = None,
        ca_bundles: Sequence[Path] = HOST_CA_BUNDLES,
    ) -> None:
        self._runner = runner
        self._engine = engine
        self._progress = progress
        self._install = install
        self._debian = is_debian() if debian is None else debian
        self._root = os.geteuid() == 0 if root is None else root
        self._ca_bundles = ca_bundles

    def describe(self, recipe: Recipe) -> str:
        """See :meth:`ImageBuilder.describe`."""
        return f"{recipe.what}; built from packages of Debian {recipe.pins['debian']} with mmdebstrap"

    def build(self, build: Build, *, tag: str, labels: Mapping[str, str]) -> None:
        """See :meth:`ImageBuilder.build`."""
        self._require_mmdebstrap(build)
        bundle = self._host_ca() if build.recipe.options.get("host_ca") else None
        archive = build.workdir / "rootfs.tar"
        build.run(self._runner, bootstrap_command(build.recipe, archive, bundle))
        marks = dict(labels)
        if bundle is not None:
            marks[LABEL_HOST_CA] = hashlib.sha256(bundle.read_bytes()).hexdigest()
        repository, _, version = tag.rpartition(":")
        with closing(self._engine().client()) as client:
            try:
                client.api.timeout = SILENCE_S
                # One call makes the image and names it.
                answer = client.api.import_image_from_file(
                    str(archive), repository=repository, tag=version, changes=image_changes(build.recipe, marks)
                )
            except (docker.errors.APIError, requests.RequestException) as error:
                raise build.error(f"docker import: {error}") from error
        build.log.write(str(answer))
        failure = json.loads(str(answer).strip().splitlines()[-1]).get("error")
        if failure:
            raise build.error(f"docker import: {failure}")

    def _require_mmdebstrap(self, build: Build) -> None:
        if shutil.which("mmdebstrap"):
            return
        what = f"build {build.recipe.name} from Debian packages"
        if not self._debian:
            raise BuildError(
                what,
                seen="mmdebstrap is not on PATH, and this is not Debian or Ubuntu",
                hint="use a host that reaches a container registry, or give the image yourself",
            )
        if not (self._install and self._root):
            reason = "installing packages was forbidden" if not self._install else "only root may install packages"
            raise BuildError(what, seen=f"mmdebstrap is not on PATH; {reason}", hint="`apt-get install mmdebstrap`")
        self._progress.say("missing on this machine: mmdebstrap; installing its Debian package with apt-get")
        for arguments in (
            ("update", "--quiet"),
            # Ubuntu does not bring Debian's keys with it.
            ("install", "--yes", "--quiet", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"),
        ):
            argv = ("apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments)
            env = {"DEBIAN_FRONTEND": "noninteractive"}
            build.run(self._runner, Command(argv, env=env, timeout_s=INSTALL_TIMEOUT_S))

    def _host_ca(self) -> Path | None:
        return next((path for path in self._ca_bundles if path.is_file()), None)


def bootstrap_command(recipe: Recipe, archive: Path, ca_bundle: Path | None) -> Command:
    """Return the mmdebstrap call for a recipe.

    Args:
        recipe: a recipe of kind ``rootfs``.
        archive: the tar file to write.
        ca_bundle: the host's certificate authorities to put in, ``None`` for none.
    """
    options = recipe.options
    # mmdebstrap(1): with variant "extract" the stages after extraction, and their hooks, are left out.
    hook = "--extract-hook" if options["variant"] == "extract" else "--customize-hook"
    argv = ["mmdebstrap", f"--variant={options['variant']}", f"--architectures={recipe.arch}", "--format=tar"]
    argv += [f"--include={','.join(options['packages'])}"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    if ca_bundle is not None:
        target = f'"$1"{_IMAGE_CA_BUNDLE}'
        argv += [f"{hook}=mkdir -p {target[: target.rindex('/')]} && cp -L {shlex.quote(str(ca_bundle))} {target}"]
    if "setup" in options:
        argv += [f'{hook}=sh {shlex.quote(str(recipe.directory / options["setup"]))} "$1"']
    argv += [recipe.pins["debian"], str(archive)]
    return Command(tuple(argv), timeout_s=BOOTSTRAP_TIMEOUT_S)


def image_changes(recipe: Recipe, labels: Mapping[str, str]) -> list[str]:
    """Return the Dockerfile instructions that `docker import` applies to the image's configuration."""
    return [*recipe.options.get("config", []), *(f"LABEL {key}={json.dumps(labels[key])}" for key in sorted(labels))]
