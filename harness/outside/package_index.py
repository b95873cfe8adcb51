"""A wheelhouse for pods that install packages at every start.

Its wheels are fetched once, when its image is built, from whatever index pip uses there, the real one as a rule. Pods
then install from it and ask nobody else, so that a stage takes as long on the tenth run as on the first, with or
without the Internet. Without a wheelhouse pods ask the real index, as everybody's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = "/srv/packages"

_BLOCK = f"""\
root {_PACKAGES};
autoindex on;
types {{ text/html html; application/zip whl; }}
"""


@dataclass(frozen=True)
class Wheelhouse:
    """The service that gives packages to pods.

    Args:
        name: its name on the cluster's network; it stands in for no public one.
    """

    name: str = "packages.seatrial.internal"

    @property
    def names(self) -> tuple[str, ...]:
        """See :attr:`OutsideService.names`."""
        return (self.name,)

    @property
    def stands_for(self) -> str:
        """See :attr:`OutsideService.stands_for`."""
        return "the package index of pods: nginx, a directory of wheels fetched from the real index beforehand"

    @property
    def probe_path(self) -> str:
        """See :attr:`OutsideService.probe_path`."""
        return "/"

    def server_block(self) -> str:
        """See :meth:`OutsideService.server_block`."""
        return _BLOCK

    def environment(self) -> dict[str, str]:
        """See :meth:`OutsideService.environment`."""
        return {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": f"https://{self.name}/",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            # Compiling pandas and scikit-learn takes pip five times as long as unpacking them; Python compiles the few
            # modules that are imported when they are. A variable for a --no-... flag that unsets something has to be
            # false: pip's documentation, "Boolean options".
            "PIP_NO_COMPILE": "0",
        }


def write_wheelhouse_context(
    directory: Path, requirement_sets: Sequence[Sequence[str]], *, constraints: str = ""
) -> None:
    """Write the build context of an image that serves a wheelhouse.

    Its Dockerfile takes the image of supply called ``outside`` as ``BASE_IMAGE``; the wheels are for the Python in it.

    Args:
        directory: an empty directory.
        requirement_sets: what is installed together, e.g. one set per stage: each is resolved by itself, as it will be.
        constraints: the text of a pip constraints file that pods install under.
    """
    (directory / "constraints.txt").write_text(constraints, encoding="utf-8")
    steps = []
    for number, requirements in enumerate(requirement_sets, start=1):
        name = f"requirements-{number}.txt"
        (directory / name).write_text("".join(f"{each}\n" for each in requirements), encoding="utf-8")
        steps.append(f"RUN pip wheel --no-cache-dir --wheel-dir={_PACKAGES} --requirement=/tmp/{name}\n")
    (directory / "Dockerfile").write_text(
        "ARG BASE_IMAGE\n"
        "FROM ${BASE_IMAGE}\n"
        "COPY *.txt /tmp/\n"
        # A variable and not a flag: environments that pip builds from source in obey it as well.
        "ARG PIP_CONSTRAINT=/tmp/constraints.txt\n" + "".join(steps),
        encoding="utf-8",
    )
