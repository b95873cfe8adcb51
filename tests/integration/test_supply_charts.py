"""CRDs from real Go types, files of real modules, and a chart laid together of them that a real Helm renders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.assembly import Assembly
from harness.errors import BuildError, EngineError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import SubprocessRunner
from harness.progress import SilentProgress
from harness.settings.model import SupplySettings
from harness.supply.assembly import make_supply
from harness.supply.pins import Pins, host_arch
from harness.supply.recipe import RECIPES, Recipes
from harness.supply.resolver import Supply

CHART = """
kind = "chart"
version = "seldon-operator"
needs = ["seldon-crds", "pod"]
what = "a chart of these tests"

[chart]
crds = ["seldon-crds"]
crds-when = ".Values.crd.create"
images = { "docker.io/seatrial/pod:{version}" = "pod" }
"""
CHART_FILES = {
    "Chart.yaml": "apiVersion: v2\nname: gateway\nversion: 0.1.0\nappVersion: '{version}'\n",
    "values.yaml": "crd:\n  create: true\nimage: docker.io/seatrial/pod:{version}\n",
    "templates/pod.yaml": (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n"
        "spec:\n  containers:\n    - name: pod\n      image: {{ .Values.image }}\n"
    ),
}


def _no_engine() -> Any:
    raise EngineError("reach a Docker engine", seen="nothing answers")


@pytest.fixture
def recipe_dir(tmp_path: Path) -> Path:
    """Return a folder with a chart, the CRDs in it, what generates them, and an image it only names."""
    directory = tmp_path / "recipes"
    for name in ("controller-gen", "seldon-crds", "gateway-api-crds"):
        shutil.copytree(RECIPES / name, directory / name)
    for path, text in CHART_FILES.items():
        file = directory / "gateway" / "chart" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (directory / "gateway" / "recipe.toml").write_text(CHART, encoding="utf-8")
    (directory / "pod").mkdir()
    (directory / "pod" / "recipe.toml").write_text('kind = "image"\nversion = "debian"\n', encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def cache_dir(seatrial: Assembly, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that begins empty, except for what Go has: the run's own, which saves downloading it again."""
    cache_dir = tmp_path_factory.mktemp("cache")
    go = seatrial.settings.supply.cache_dir / "go"
    go.mkdir(parents=True, exist_ok=True)
    (cache_dir / "go").symlink_to(go)
    return cache_dir


@pytest.fixture
def supply(cache_dir: Path, recipe_dir: Path) -> Supply:
    """Return a resolver with everything real but the engine."""
    pins = Pins.load()
    return make_supply(
        SupplySettings(cache_dir=cache_dir, offline=False, build=True, download=False, given={}),
        runner=SubprocessRunner(),
        engine=_no_engine,
        image_builders={},
        progress=SilentProgress(),
        pins=pins,
        recipes=Recipes(pins, host_arch(), recipe_dir),
    )


@pytest.fixture
def render(seatrial: Assembly, supply: Supply) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that has Helm render the chart, with values, and parses what comes out."""
    helm = seatrial.supply.program("helm").path

    def template(*values: str) -> list[dict[str, Any]]:
        flags = [f"--set={value}" for value in values]
        argv = (str(helm), "template", "demo", str(supply.chart("gateway").path), *flags)
        rendered: Outcome = SubprocessRunner().run(Command(argv, timeout_s=60)).check()
        return [document for document in yaml.safe_load_all(rendered.stdout) if document]

    return template


def test_chart_renders_with_its_definitions(supply: Supply, render: Callable[..., list[dict[str, Any]]]) -> None:
    """Definitions come first and whole, the pods ask for the references that the chart names, with versions filled."""
    chart = supply.chart("gateway")
    assert chart.images == {"docker.io/seatrial/pod:v1.16.0": "pod"}
    assert not chart.published
    definition, pod = render()
    assert definition["metadata"]["name"] == "seldondeployments.machinelearning.seldon.io"
    assert pod["spec"]["containers"][0]["image"] in chart.images


def test_condition_leaves_the_definitions_out(render: Callable[..., list[dict[str, Any]]]) -> None:
    """Whoever has the definitions already says so with the chart's value."""
    assert [document["kind"] for document in render("crd.create=false")] == ["Pod"]


def test_definition_holds_what_the_operator_reads(supply: Supply) -> None:
    """Each version has a status of its own and the whole pod specification, and children of a graph may nest."""
    (path,) = supply.files("seldon-crds").path.iterdir()
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    versions = {version["name"]: version for version in definition["spec"]["versions"]}
    assert set(versions) == {"v1", "v1alpha2", "v1alpha3"}
    assert [name for name, version in versions.items() if version["storage"]] == ["v1"]
    for version in versions.values():
        assert version["subresources"]["status"] == {}
        schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        predictor = schema["predictors"]["items"]["properties"]
        component = predictor["componentSpecs"]["items"]["properties"]
        assert "labels" in component["metadata"]["properties"]
        assert "image" in component["spec"]["properties"]["containers"]["items"]["properties"]
        assert predictor["graph"]["properties"]["children"]["items"]["x-kubernetes-preserve-unknown-fields"] is True


def test_files_of_a_module_are_its_publishers(supply: Supply) -> None:
    """What lies in a module comes out as it is, and is handed out again without being looked for."""
    files = supply.files("gateway-api-crds")
    (routes,) = files.path.glob("*_httproutes.yaml")
    assert "gateway.networking.k8s.io/bundle-version: v1.3.0" in routes.read_text(encoding="utf-8")
    assert supply.files("gateway-api-crds") is files


def test_module_of_another_digest_is_refused(supply: Supply, recipe_dir: Path) -> None:
    """Whatever answers for the module, its files are used only when they are the ones that were looked at."""
    go_sum = recipe_dir / "gateway-api-crds" / "go.sum"
    go_sum.write_text(f"sigs.k8s.io/gateway-api v1.3.0 h1:{'A' * 43}=\n", encoding="utf-8")
    with pytest.raises(BuildError, match=r"checksum mismatch|go\.sum"):
        supply.files("gateway-api-crds")
