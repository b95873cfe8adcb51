"""docker: argument builders; nothing here runs anything.

The engine itself is spoken to through the docker SDK; this is for programs that run in a container and are otherwise
like any other: with standard input, output and an exit code.
"""

from __future__ import annotations

from collections.abc import Mapping

Args = tuple[str, ...]


def run(
    image: str,
    *args: str,
    network: str,
    labels: Mapping[str, str],
    entrypoint: str = "",
) -> Args:
    """``docker run``: one container from its start to its end, removed then; it reads standard input.

    A signal to the command reaches the program in the container (``--init``: programs that run as process 1 would
    ignore it).

    Args:
        image: name or id of the image; pulled when the engine lacks it.
        args: arguments of the program.
        network: the Docker network to join, or ``host``.
        labels: put on the container.
        entrypoint: the program, the image's own by default.
    """
    return (
        "run",
        "--rm",
        "--init",
        "--interactive",
        f"--network={network}",
        *(f"--label={name}={value}" for name, value in labels.items()),
        *((f"--entrypoint={entrypoint}",) if entrypoint else ()),
        image,
        *args,
    )
