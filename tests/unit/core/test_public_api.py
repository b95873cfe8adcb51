"""The names that test authors import."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import errors, testing

DOCUMENT = Path(harness.__file__).parent.parent / "docs" / "api.md"


def test_documented_names_are_the_public_ones() -> None:
    """docs/api.md lists `harness.__all__`, each name once."""
    documented = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(harness.__all__)


def test_documented_stand_ins_are_the_public_ones() -> None:
    """docs/api.md names each stand-in of `harness.testing`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in testing.__all__ if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", harness.__all__)
def test_name_is_what_its_module_calls_so(name: str) -> None:
    """Each name can be imported, is the class or function itself, and says what it is."""
    found = getattr(harness, name)
    home = importlib.import_module(found.__module__)
    assert getattr(home, name) is found
    assert inspect.getdoc(found)


def test_type_checkers_see_the_same_names() -> None:
    """What is imported for type checkers is what is there at run time."""
    tree = ast.parse(Path(harness.__file__).read_text(encoding="utf-8"))
    shown = {
        (alias.name, node.module)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert shown == {(name, module) for module, names in harness._HOMES.items() for name in names}
    assert sorted(name for name, _ in shown) == sorted(harness.__all__)


def test_every_error_is_public() -> None:
    """A test can name any error that Seatrial raises."""
    tree = {name for name, one in vars(errors).items() if inspect.isclass(one) and one.__module__ == errors.__name__}
    assert tree <= set(harness.__all__)


def test_name_that_is_not_there() -> None:
    """A mistyped name is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'ClusterSpeck'"):
        harness.ClusterSpeck  # type: ignore[attr-defined] # noqa: B018 - that is the point


def test_names_are_offered_for_completion() -> None:
    """`dir(harness)` has them before any was used."""
    assert set(harness.__all__) <= set(dir(harness))


def test_importing_the_package_is_light() -> None:
    """Neither the package nor one of its declarations loads a client library."""
    program = "import sys; from harness import ClusterSpec, PortMapping; print([m for m in sys.modules if m in %r])"
    heavy = ["docker", "jsonschema", "kubernetes", "pykube", "requests", "yaml"]
    ended = subprocess.run([sys.executable, "-c", program % heavy], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
