"""An image of somebody's with one layer more, in which a world's services are found and trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.outside.ca import BUNDLE_PATH


def write_trusting_context(directory: Path, *, bundle: bytes, environment: Mapping[str, str]) -> None:
    """Write the build context of such an image; its Dockerfile takes the image below as ``BASE_IMAGE``.

    Pods of tools that set no variables themselves (a Bodywork stage) get them with their image.

    Args:
        directory: an empty directory.
        bundle: the authorities to trust, PEM; see :meth:`~harness.outside.ca.PrivateCA.bundle`.
        environment: variables of the image; see :meth:`~harness.outside.world.OutsideWorld.environment`.
    """
    (directory / "ca-bundle.crt").write_bytes(bundle)
    variables = "".join(f'ENV {name}="{_quoted(environment[name])}"\n' for name in sorted(environment))
    (directory / "Dockerfile").write_text(
        f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nCOPY ca-bundle.crt {BUNDLE_PATH}\n{variables}", encoding="utf-8"
    )


def _quoted(value: str) -> str:
    """Escape what means something inside a Dockerfile's double quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
