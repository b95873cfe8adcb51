"""Static checks of charts with the real Helm and the real schemas; no engine, no cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.charts.chart import Chart
from harness.charts.check import Baseline, ChartChecker, ChartReport
from harness.charts.golden import golden_texts
from harness.charts.kubernetes_schema import KubernetesSchema
from harness.charts.render import Renderer
from harness.process.runner import Runner
from harness.supply.resolver import Supply
from tests.integration.chart_faults import FAULTS, GOOD, KUBERNETES, Fault, write_chart

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "fixtures" / "charts"


@pytest.fixture(scope="module", params=["helm", "helm-4"])
def renderer(
    request: pytest.FixtureRequest, supply: Supply, runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> Renderer:
    """Helm 3 and Helm 4, their files apart from the user's."""
    return Renderer(runner, supply.program(request.param).path, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def checker(renderer: Renderer, supply: Supply) -> ChartChecker:
    """All checks, for two versions of Kubernetes."""

    def schema(version: str) -> KubernetesSchema:
        return KubernetesSchema.from_file(version, supply.files(f"kubernetes-schema-{version}").path / "swagger.json")

    return ChartChecker(renderer, schema, KUBERNETES)


def _told(report: ChartReport) -> list[str]:
    return [f"{finding.check}: {finding.where}: {finding.message}" for finding in report.findings]


def test_a_chart_without_a_fault_passes(checker: ChartChecker, tmp_path: Path) -> None:
    """Nothing is found in the chart that the faults are planted in, rendered with its defaults and its CI values."""
    report = checker.check(write_chart(tmp_path / "scorer", GOOD))
    assert _told(report) == []
    assert report.renders == 2
    assert report.objects == 12


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_each_planted_fault_is_caught(fault: Fault, checker: ChartChecker, tmp_path: Path) -> None:
    """The check that is there for it names the file and says what is wrong; no other check fails the chart."""
    before = write_chart(tmp_path / "before" / "scorer", GOOD)
    after = tmp_path / "after" / "scorer"
    fault.plant(after)
    changed = tuple(name for name in fault.edits if fault.check == "version-bump")
    report = checker.check(after, Baseline("main", before, changed) if fault.upgrade else None)
    caught = [one for one in report.findings if one.check == fault.check and fault.message in one.message]
    assert caught, _told(report)
    assert caught[0].file == str(after / fault.file if fault.file else after)
    assert caught[0].severity == fault.severity
    if fault.values:
        assert caught[0].values == fault.values
    # A value nobody reads any more follows from some of the faults, and Helm's own lint sees a few too.
    follow = {fault.check, "unused-value", "undefined-value", "lint"}
    assert {one.check for one in report.findings if one.severity == "error"} <= follow, _told(report)


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the table in docs/charts.md whose head begins with `heading`."""
    rows = (ROOT / "docs" / "charts.md").read_text(encoding="utf-8").split(f"| {heading} |\n")[1].splitlines()
    cells = []
    for row in rows[1:]:
        if not row.startswith("|"):
            break
        cells.append(row.strip("| ").split(" | "))
    return cells


def test_the_table_in_the_documentation_is_this_one() -> None:
    """docs/charts.md has a row for each fault, with its check and its message, in the same order, and no other."""
    # A message may end in a space, or hold a bar.
    rows = [
        [part.strip() for part in (what, check, " | ".join(rest))]
        for what, check, *rest in _table("fault | check | message")
    ]
    assert rows == [[fault.what, f"`{fault.check}`", fault.message.strip()] for fault in FAULTS]


@pytest.mark.parametrize("row", _table("fault | what is said | test"), ids=lambda row: row[0])
def test_the_other_faults_of_the_documentation_have_their_tests(row: list[str]) -> None:
    """The test that a row names is there."""
    told = re.fullmatch(r"`(test_\w+)` \(`(\S+)`\)", row[2])
    assert told is not None, row
    assert f"def {told[1]}(" in (ROOT / told[2]).read_text(encoding="utf-8")


def test_the_tutorial_s_trap_is_caught_by_name(checker: ChartChecker) -> None:
    """`replicas: 2` in values.yaml, which the template does not obey, and where the template says otherwise."""
    (finding,) = checker.check(CHARTS / "helm-ml-score-app").findings
    assert (finding.check, finding.object, finding.line) == ("unused-value", "replicas", 9)
    assert "templates/deployment.yaml:10 says 'replicas: 1' itself" in finding.hint


def test_the_corrected_version_is_a_safe_upgrade(checker: ChartChecker) -> None:
    """Nothing is found in it, compared with the version before."""
    baseline = Baseline("main", CHARTS / "helm-ml-score-app", ("templates/deployment.yaml",))
    assert _told(checker.check(CHARTS / "helm-ml-score-app-next", baseline)) == []


def test_a_chart_that_asks_for_the_version_suits_old_and_new_alike(renderer: Renderer, supply: Supply) -> None:
    """Nothing is found in the larger chart for 1.21 or 1.34, with nothing allowed: each is rendered what it serves."""

    def schema(version: str) -> KubernetesSchema:
        return KubernetesSchema.from_file(version, supply.files(f"kubernetes-schema-{version}").path / "swagger.json")

    report = ChartChecker(renderer, schema, ("1.21", "1.34")).check(CHARTS / "score-platform")
    assert _told(report) == []
    assert report.allowed == ()


def test_circular_dependencies_are_named(checker: ChartChecker, tmp_path: Path) -> None:
    """Two charts that take each other in: the message shows the circle instead of going around it."""
    for name, other in (("one", "two"), ("two", "one")):
        dependencies = f"dependencies:\n  - name: {other}\n    version: 1.0.0\n    repository: file://../{other}\n"
        write_chart(tmp_path / name, {"Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n{dependencies}"})
    (finding,) = checker.check(tmp_path / "one").findings
    assert finding.message == "the dependencies go in a circle: one -> two -> one"


def test_local_dependencies_need_not_be_built_first(checker: ChartChecker, tmp_path: Path) -> None:
    """A library chart named by file:// is rendered with, and the author's directory stays as it is."""
    write_chart(
        tmp_path / "common",
        {
            "Chart.yaml": "apiVersion: v2\nname: common\nversion: 1.0.0\ntype: library\n",
            "templates/_labels.tpl": '{{ define "common.labels" }}app: {{ .Values.app.name }}{{ end }}\n',
        },
    )
    chart = write_chart(
        tmp_path / "scorer",
        {
            "Chart.yaml": "apiVersion: v2\nname: scorer\nversion: 1.0.0\ndependencies:\n"
            "  - name: common\n    version: 1.x.x\n    repository: file://../common\n",
            "values.yaml": "app:\n  name: scorer\n",
            "templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n"
            '  labels:\n    {{ include "common.labels" . }}\n',
        },
    )
    report = checker.check(chart)
    assert _told(report) == []
    assert report.objects == 1
    assert sorted(one.name for one in chart.iterdir()) == ["Chart.yaml", "templates", "values.yaml"]


def test_what_is_generated_does_not_show_in_goldens(renderer: Renderer, tmp_path: Path) -> None:
    """A password, a certificate and a checksum are masked; what is the chart's own stays."""
    template = (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  annotations:\n"
        "    checksum/config: {{ .Values.a | sha256sum }}\n"
        "stringData:\n  password: {{ randAlphaNum 12 }}\n  user: scorer\n"
        '  crt: {{ (genSelfSignedCert "x" nil nil 1).Cert | b64enc }}\n'
    )
    files = {
        "Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n",
        "values.yaml": "a: b\n",
        "templates/s.yaml": template,
    }
    texts = golden_texts(renderer, Chart.load(write_chart(tmp_path / "c", files)))
    assert texts == {
        "default": "# templates/s.yaml\napiVersion: v1\nkind: Secret\nmetadata:\n  annotations:\n"
        "    checksum/config: <checksum>\n  name: s\nstringData:\n  crt: <certificate>\n"
        "  password: <generated>\n  user: scorer\n"
    }


def test_a_template_hears_what_a_case_says_its_cluster_serves(checker: ChartChecker, tmp_path: Path) -> None:
    """What is rendered only where a kind of somebody else's is served is rendered, and checked, in that case."""
    monitor = "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: scorer}\nspec: {}\n"
    asked = (
        '{{ if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" }}\n' + monitor + "{{ end }}\n"
    )
    case = "cases:\n  - name: watched\n    api-versions: [monitoring.coreos.com/v1/ServiceMonitor]\n"
    chart = write_chart(tmp_path / "scorer", {**GOOD, "templates/monitor.yaml": asked, "seatrial.yaml": case})
    (finding,) = checker.check(chart).findings
    assert (finding.check, finding.object, finding.values) == ("unknown-kind", "ServiceMonitor/scorer", ("watched",))


def test_the_corrected_version_renders_as_it_did(golden_renders: Callable[..., None]) -> None:
    """Its goldens are beside this file, one per values set."""
    golden_renders(CHARTS / "helm-ml-score-app-next", kubernetes="1.34")


def test_a_packaged_chart_is_checked_like_a_directory(
    checker: ChartChecker, supply: Supply, runner: Runner, tmp_path: Path
) -> None:
    """The archive that `helm package` makes of the chart without a fault has none either."""
    from harness.process.command import Command

    chart = write_chart(tmp_path / "scorer", GOOD)
    helm = str(supply.program("helm").path)
    runner.run(Command((helm, "package", str(chart), f"--destination={tmp_path}"))).check()
    assert _told(checker.check(tmp_path / "scorer-1.2.3.tgz")) == []


def test_findings_are_data() -> None:
    """The documentation's schema for editors is valid JSON Schema."""
    import jsonschema

    from harness.charts.declaration import SCHEMA

    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
