"""Seatrial's own modules that go into images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SupplyError
from harness.supply import recipe as recipe_module
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import RECIPES, Recipes, package_files

IMAGE = 'kind = "image"\nversion = "tool"\n\n[image]\nbase = "x"\npackage-files = ["gateway/routes.py"]\n'


def test_they_keep_their_place_in_the_package() -> None:
    """So that one module imports the other inside the image as it does outside."""
    found = package_files({"package-files": ["gateway/routes.py", "gateway/controller.py"]})
    assert list(found) == ["package/harness/gateway/controller.py", "package/harness/gateway/routes.py"]
    assert all(path.is_file() for path in found.values())
    assert package_files({}) == {}


def test_a_file_that_is_not_there_is_refused(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> None:
    """When the recipe is read, not when it is built."""
    write_recipe("tool", IMAGE.replace("routes", "rutes"))
    with pytest.raises(SupplyError, match=r"gateway/rutes\.py"):
        recipes().get("tool")


def test_their_content_is_part_of_the_digest(
    write_recipe: Callable[..., Path],
    recipes: Callable[[], Recipes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A changed module makes another image."""
    module = tmp_path / "harness" / "gateway" / "routes.py"
    module.parent.mkdir(parents=True)
    module.write_text("one", encoding="utf-8")
    monkeypatch.setattr(recipe_module, "_PACKAGE", tmp_path / "harness")
    write_recipe("tool", IMAGE)
    before = recipes().get("tool").digest
    module.write_text("two", encoding="utf-8")
    assert recipes().get("tool").digest != before


def test_the_controllers_image_holds_what_the_controller_imports() -> None:
    """Its requirements are the pins, and it imports no other module of Seatrial."""
    pins = Pins.load()
    recipe = Recipes(pins, host_arch()).get("gateway-routes-image")
    required = (RECIPES / "gateway-routes-image" / "requirements.txt").read_text(encoding="utf-8").split("\n")
    assert f"PyYAML=={pins.version('pyyaml')}" in required
    assert f"urllib3=={pins.version('urllib3')}" in required
    for path in package_files(recipe.options).values():
        imported = [
            line.split()[1]
            for line in path.read_text(encoding="utf-8").splitlines()
            if "harness." in line and line.startswith("from ")
        ]
        assert set(imported) <= {"harness.gateway.routes"}
