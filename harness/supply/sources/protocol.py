"""The seam between the resolver and the places a program, a directory of files or an image may come from.

The resolver holds one ordered list of sources for each and takes the first answer. To add a place, write a module
beside this one and put it into its list (:mod:`harness.supply.assembly`).
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from harness.supply.artifact import Files, Image, Program, SourceName
from harness.supply.recipe import Recipe

T_co = TypeVar("T_co", Program, Files, Image, covariant=True)


class Source(Protocol[T_co]):
    """A place a program (or a directory of files, or an image) may come from."""

    @property
    def name(self) -> SourceName:
        """The name shown to people and kept in the provenance."""

    @property
    def is_local(self) -> bool:
        """Whether it answers at once and without the network."""

    def offer(self, recipe: Recipe) -> str:
        """Return, as an imperative, how a person gets the artifact from here; empty when it cannot be had here."""

    def get(self, recipe: Recipe) -> T_co | None:
        """Return the artifact, or ``None`` when this source has none that fits.

        Raises:
            SupplyError: it has one, and that cannot be used.
        """
