"""Helm on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.commands.helm import Values
from harness.deploy.helm import HelmDeployer
from harness.deploy.kubectl import KubectlDeployer
from harness.errors import ChartError, DeployError, RolloutError
from harness.images.reference import ImageRef
from harness.naming import dns_label
from harness.site import Site

CHARTS = Path(__file__).parents[2] / "fixtures" / "charts"
SCORE = CHARTS / "helm-ml-score-app"


@pytest.fixture(params=["helm", "helm-4"])
def helm(request: pytest.FixtureRequest, site: Site) -> Iterator[HelmDeployer]:
    """Helm 3 and Helm 4."""
    with closing(site.helm(request.param)) as deployer:
        yield deployer


@pytest.fixture
def own_namespace(namespace: str) -> str:
    """The namespace the chart makes."""
    return dns_label("app", namespace)


@pytest.fixture
def values(own_namespace: str, score_image: ImageRef) -> Values:
    """The tutorial's values with the image at hand and a namespace of the chart's own."""
    return Values(inline={"app": {"image": score_image.name, "namespace": own_namespace}})


def test_the_chart_is_tried_out_installed_seen_and_uninstalled(
    helm: HelmDeployer, kubectl: KubectlDeployer, namespace: str, own_namespace: str, values: Values
) -> None:
    """Dry run makes nothing; install gives notes and resources; uninstall leaves nothing, the namespace included."""
    tried = helm.dry_run("test-ml-app", SCORE, namespace=namespace, values=values)
    assert helm.list(namespace=namespace) == ()
    release = helm.install("test-ml-app", SCORE, namespace=namespace, values=values)
    assert release.manifest == tried.manifest
    assert [ref.kind for ref in release.resources] == ["Namespace", "Service", "Deployment"]
    assert "test-ml-score-api is on its way" in release.notes
    assert release.notes == helm.get_notes("test-ml-app", namespace=namespace)
    assert [(row.name, row.status, row.chart) for row in helm.list(namespace=namespace)] == [
        ("test-ml-app", "deployed", "helm-ml-score-app-0.1.0")
    ]
    assert helm.status("test-ml-app", namespace=namespace).status == "deployed"
    assert helm.get_values("test-ml-app", namespace=namespace) == values.inline
    helm.uninstall(release)
    assert helm.list(namespace=namespace) == ()
    assert kubectl.get(f"namespace/{own_namespace}") == ()


def test_the_replicas_of_the_values_are_not_obeyed(
    helm: HelmDeployer, kubectl: KubectlDeployer, namespace: str, own_namespace: str, values: Values
) -> None:
    """The chart's trap: its values say 2, its template 1; one pod runs."""
    release = helm.install("test-ml-app", SCORE, namespace=namespace, values=values)
    assert helm.get_values("test-ml-app", namespace=namespace, all_values=True)["replicas"] == 2
    assert len(kubectl.get("pods", namespace=own_namespace)) == 1
    helm.uninstall(release)


def test_a_failed_upgrade_is_rolled_back(helm: HelmDeployer, namespace: str, values: Values) -> None:
    """The reason is told, and the release runs what it ran before."""
    helm.install("test-ml-app", SCORE, namespace=namespace, values=values)
    bad = Values(overrides={"app.image": "Example/Not An Image"})
    with pytest.raises(RolloutError) as caught:
        helm.upgrade("test-ml-app", SCORE, namespace=namespace, values=bad, reuse_values=True)
    assert caught.value.reason == "InvalidImageName"
    assert [(item.number, item.status) for item in helm.history("test-ml-app", namespace=namespace)] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert helm.get_values("test-ml-app", namespace=namespace) == values.inline
    rolled = helm.rollback("test-ml-app", 1, namespace=namespace)
    assert rolled.revision == 4
    helm.uninstall("test-ml-app", namespace=namespace)


def test_a_failed_install_leaves_no_release_unless_asked(helm: HelmDeployer, namespace: str, values: Values) -> None:
    """By default it is uninstalled; with keep_failed it stays, and close would remove it."""
    bad = Values(inline=values.inline, overrides={"app.image": "Example/Not An Image"})
    with pytest.raises(RolloutError):
        helm.install("test-ml-app", SCORE, namespace=namespace, values=bad)
    assert helm.list(namespace=namespace) == ()
    with pytest.raises(RolloutError):
        helm.install("test-ml-app", SCORE, namespace=namespace, values=bad, keep_failed=True)
    assert [row.name for row in helm.list(namespace=namespace)] == ["test-ml-app"]


# A hook that fails at once, on the image that the tests have anyway.
HOOK = """
apiVersion: batch/v1
kind: Job
metadata:
  name: migration
  annotations: {helm.sh/hook: pre-install}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: migration
          image: {{ .Values.image }}
          imagePullPolicy: IfNotPresent
          command: [python3, -c, "print('no such column'); raise SystemExit(1)"]
"""


def test_a_failing_hook_tells_what_it_printed(
    helm: HelmDeployer, namespace: str, score_image: ImageRef, tmp_path: Path
) -> None:
    """Helm says that it failed; its log, gone with the release, says why."""
    chart = tmp_path / "hooked"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: hooked\nversion: 1.0.0\n", encoding="utf-8")
    (chart / "templates" / "migration.yaml").write_text(HOOK, encoding="utf-8")
    with pytest.raises(DeployError, match=r"log of 'migration':\s+no such column") as caught:
        helm.install("hooked", chart, namespace=namespace, values=Values(inline={"image": score_image.name}))
    assert "hook 'job/migration'" in caught.value.hint
    assert helm.list(namespace=namespace) == ()


def test_a_refusal_by_the_cluster_leaves_no_release(helm: HelmDeployer, namespace: str) -> None:
    """Helm records a failed release when the API server refuses a document; it is uninstalled."""
    with pytest.raises(DeployError, match=r"spec.ports\[0\].port") as caught:
        helm.install("refused", CHARTS / "refused", namespace=namespace)
    assert not isinstance(caught.value, ChartError)
    assert helm.list(namespace=namespace) == ()


def test_a_release_of_that_name_is_left_alone(helm: HelmDeployer, namespace: str) -> None:
    """A second install of the same name is refused, and the first one lives on."""
    helm.install("typed", CHARTS / "typed-values", namespace=namespace)
    with pytest.raises(DeployError, match="there is a release of that name already"):
        helm.install("typed", CHARTS / "typed-values", namespace=namespace)
    assert [(row.name, row.revision) for row in helm.list(namespace=namespace)] == [("typed", 1)]


@pytest.mark.parametrize(
    ("chart", "values", "problem", "file", "line"),
    [
        pytest.param("absent", Values(), "missing", None, 0, id="no such chart"),
        pytest.param("broken-chart", Values(), "malformed", "Chart.yaml", 1, id="Chart.yaml is no YAML"),
        pytest.param(
            "broken-template",
            Values(),
            "template",
            "broken-template/templates/configmap.yaml",
            6,
            id="a template that cannot be rendered",
        ),
        pytest.param(
            "broken-yaml",
            Values(),
            "template",
            "broken-yaml/templates/configmap.yaml",
            # The last line; Helm 4 names the one after it.
            (6, 7),
            id="rendered to no YAML",
        ),
        pytest.param(
            "typed-values", Values(overrides={"replicas": "many"}), "values", "", 0, id="values against the schema"
        ),
        pytest.param(
            "helm-ml-score-app",
            Values(inline={"app": "a text"}),
            "values",
            None,
            None,
            id="a text where a mapping is wanted",
        ),
        pytest.param(
            "typed-values", Values(files=(Path("absent.yaml"),)), "values", "absent.yaml", 0, id="no such file"
        ),
    ],
)
def test_a_malformed_chart_is_told_apart_from_a_refusal(
    chart: str,
    values: Values,
    problem: str,
    file: str | None,
    line: int | tuple[int, ...] | None,
    helm: HelmDeployer,
    namespace: str,
) -> None:
    """Which kind of mistake, in which file, at which line; nothing was installed."""
    with pytest.raises(ChartError) as caught:
        helm.install("broken", CHARTS / chart, namespace=namespace, values=values)
    assert caught.value.problem == problem
    assert file is None or caught.value.file == file
    assert line is None or caught.value.line in (line if isinstance(line, tuple) else (line,))
    assert helm.list(namespace=namespace) == ()


def test_lint_tells_errors_and_passes_good_charts(helm: HelmDeployer) -> None:
    """The tutorial's chart has no warning; a broken one is an error with its place."""
    assert helm.lint(SCORE) == ()
    with pytest.raises(ChartError) as caught:
        helm.lint(CHARTS / "broken-template")
    assert (caught.value.problem, caught.value.line) == ("template", 6)


def test_template_renders_without_installing(helm: HelmDeployer, namespace: str) -> None:
    """The documents as Helm renders them, parsed."""
    rendered = helm.template("typed", CHARTS / "typed-values", namespace=namespace, values=Values(strings={"a": "1"}))
    assert [body["data"] for body in rendered.bodies] == [{"replicas": "1"}]
    assert helm.list(namespace=namespace) == ()
