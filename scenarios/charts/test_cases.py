"""Charts under regression: every declared case goes its way, and what goes wrong on the way is named."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness.charts.case import Answer, ChartCase, Origin, Step, Traffic, cases_of
from harness.charts.voyage import Log
from harness.deploy.helm import HelmDeployer
from harness.errors import ChartTestError, DeployError, ErrorBudgetExceeded, LeftoverError, RolloutError
from harness.images.reference import ImageRef
from harness.outside.registry import LocalRegistry
from harness.site import Site
from scenarios.charts.conftest import CHARTS, NAMESPACE, NEXT, PLATFORM, RELEASED

Sail = Callable[[ChartCase], Log]

pytestmark = pytest.mark.usefixtures("score_image")

# A hook that Helm makes and never removes.
FORGOTTEN = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: forgotten
  annotations: {helm.sh/hook: post-install}
"""
# A test that fails.
FAILING = """
apiVersion: v1
kind: Pod
metadata:
  name: failing
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation}
spec:
  restartPolicy: Never
  containers:
    - name: test
      image: {{ .Values.app.image }}
      imagePullPolicy: IfNotPresent
      command: [python3, -c, "print('two is not three'); raise SystemExit(1)"]
"""
# A claim that nothing can fulfil.
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: unbound
spec:
  storageClassName: none-of-that-name
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Mi}}
"""
# Renders and fits its schema; the API server knows that it may not be.
REFUSED = """
apiVersion: v1
kind: Service
metadata:
  name: refused
spec:
  type: ExternalName
"""


@pytest.mark.chart("../../fixtures/charts/helm-ml-score-app-next", "../../fixtures/charts/score-platform")
def test_every_declared_case_goes_its_whole_way(chart_case: ChartCase, chart_voyage: Sail) -> None:
    """Installed, upgraded with other values, tested, scored, rolled back and uninstalled, and nothing is left."""
    log = chart_voyage(chart_case)
    assert [one.step for one in log.steps] == list(chart_case.steps)


@pytest.fixture
def unprobed(tmp_path: Path) -> Path:
    """The next chart but for its readiness probe and its preStop hook."""
    chart = tmp_path / "helm-ml-score-app"
    shutil.copytree(NEXT, chart, ignore=shutil.ignore_patterns("seatrial.yaml"))
    template = chart / "templates" / "deployment.yaml"
    text = template.read_text(encoding="utf-8")
    begin, end = text.index("          readinessProbe:"), text.index("          {{- with .Values.resources }}")
    assert "preStop" in text[begin:end]
    template.write_text(text[:begin] + text[end:], encoding="utf-8")
    return chart


def test_an_upgrade_that_drops_requests_is_caught(unprobed: Path, chart_voyage: Sail, answer: Answer) -> None:
    """Two replicas, one more while pods are replaced: the upgrade itself sends requests to what does not listen yet."""
    case = ChartCase(
        unprobed,
        "drops-requests",
        namespace="default",
        makes=(NAMESPACE,),
        answers=(answer,),
        traffic=Traffic(rate_per_s=50, requests=100, max_failed=0),
        steps=(Step("install"), Step("score"), Step("upgrade", set={"app": {"env": "next"}}), Step("uninstall")),
    )
    with pytest.raises(ErrorBudgetExceeded, match=r"upgrade: .* requests, [1-9]\d* failed"):
        chart_voyage(case)


def plain_case() -> ChartCase:
    """Return the larger chart's declared case that leaves most of it out."""
    (case,) = [one for one in cases_of(PLATFORM) if one.name == "plain"]
    return case


def test_helm_4_takes_the_larger_chart_its_whole_way_too(site: Site) -> None:
    """Hooks, definitions, dependencies and the chart's own test, with the other Helm; its answers are the same."""
    case = plain_case()
    with closing(site.helm("helm-4")) as helm:
        log = site.voyage(helm).run(case)
    assert [one.step.verb for one in log.steps] == ["install", "test", "score", "uninstall"]


# -- where the earlier version comes from


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """A copy of the larger chart, with what it is made of beside it."""
    for name in (PLATFORM.name, "score-platform-parts"):
        shutil.copytree(CHARTS / name, tmp_path / name, ignore=shutil.ignore_patterns("seatrial.yaml"))
    return tmp_path / PLATFORM.name


def edit(file: Path, old: str, new: str) -> None:
    """Replace what is there once."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"'{old}' in {file}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def platform_from(chart: Path, origin: Origin, *steps: Step) -> ChartCase:
    """Return a case of the larger chart that comes from an earlier version."""
    install = Step("install", previous=True, values=(str(PLATFORM / "ci" / "plain.yaml"),))
    leaves = ("CustomResourceDefinition/*.platform.example.com", "PersistentVolumeClaim/data-*")
    return replace(
        plain_case(),
        chart=chart,
        name="from-there",
        previous=origin,
        steps=(install, Step("score"), *steps, Step("score"), Step("uninstall")),
        leaves=leaves,
    )


def test_the_larger_chart_comes_from_its_earlier_version(platform: Path, chart_voyage: Sail) -> None:
    """Which had a definition more: today's takes over, and both definitions are seen to."""
    edit(platform / "Chart.yaml", "version: 1.1.0", "version: 1.0.0")
    crd = (platform / "crds" / "scoremodels.yaml").read_text(encoding="utf-8")
    former = crd.replace("scoremodels", "formermodels").replace("scoremodel", "formermodel")
    (platform / "crds" / "former.yaml").write_text(former.replace("ScoreModel", "FormerModel"), encoding="utf-8")
    log = chart_voyage(platform_from(PLATFORM, Origin(path=platform), Step("upgrade"), Step("test")))
    assert log.left == (
        "CustomResourceDefinition/formermodels.platform.example.com",
        "CustomResourceDefinition/scoremodels.platform.example.com",
    )


def test_a_failing_hook_stops_the_upgrade_and_the_release_is_as_before(platform: Path, chart_voyage: Sail) -> None:
    """What the hook printed is told; the service answers as it did."""
    migration = platform / "templates" / "migration.yaml"
    edit(migration, "print('migrated')", "print('no such column'); raise SystemExit(1)")
    edit(migration, "backoffLimit: 1", "backoffLimit: 0")
    edit(platform / "Chart.yaml", "version: 1.1.0", "version: 1.2.0")
    upgrade = Step("upgrade", fails="no such column")
    case = platform_from(platform, Origin(path=PLATFORM), upgrade)
    # Helm removes a hook that succeeded.
    log = chart_voyage(replace(case, leaves=(*case.leaves, "Job/*-migration", "Pod/*-migration-*")))
    assert [one.step.verb for one in log.steps] == ["install", "score", "upgrade", "score", "uninstall"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the released version at tag `score-0.1.0` and the next in the working tree."""
    chart = tmp_path / "repository" / "charts" / "score"
    shutil.copytree(RELEASED, chart)
    git = ("git", "-C", str(tmp_path / "repository"), "-c", "user.name=t", "-c", "user.email=t@example.com")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "release"), ("tag", "score-0.1.0")):
        subprocess.run([*git, *words], check=True, capture_output=True)  # noqa: S603 - a repository of the test's own
    shutil.rmtree(chart)
    shutil.copytree(NEXT, chart, ignore=shutil.ignore_patterns("seatrial.yaml"))
    return chart


def upgraded_from(chart: Path, origin: Origin, answer: Answer) -> ChartCase:
    """Return a case that comes from an earlier version."""
    return ChartCase(
        chart,
        "from-there",
        release="app",
        set={"drainSeconds": 0},
        namespace="default",
        makes=(NAMESPACE,),
        previous=origin,
        answers=(answer,),
        steps=(Step("install", previous=True), Step("score"), Step("upgrade"), Step("score"), Step("uninstall")),
    )


@pytest.mark.parametrize(
    "origin", [Origin(git="HEAD"), Origin(tag="score-*")], ids=["a git ref", "the latest release's tag"]
)
def test_upgrade_from_a_commit(repository: Path, origin: Origin, chart_voyage: Sail, answer: Answer) -> None:
    """The chart as it was there is installed first, and today's takes over from it."""
    log = chart_voyage(upgraded_from(repository, origin, answer))
    assert [one.revision for one in log.steps] == [1, 1, 2, 2, 0]


def test_upgrade_from_an_archive_and_from_a_registry(
    helm: HelmDeployer, registry: LocalRegistry, chart_voyage: Sail, answer: Answer, tmp_path: Path
) -> None:
    """The same with a packaged chart, and with one that was pushed to an OCI registry."""
    archive = helm.package(RELEASED, into=tmp_path)
    chart_voyage(upgraded_from(NEXT, Origin(path=archive), answer))
    helm.push(archive, f"oci://{registry.host_address}/charts", plain_http=True)
    pulled = Origin(oci=f"oci://{registry.host_address}/charts/helm-ml-score-app", version="0.1.0", plain_http=True)
    chart_voyage(upgraded_from(NEXT, pulled, answer))


# -- what goes wrong


@pytest.fixture
def chart_with(tmp_path: Path) -> Callable[[str], ChartCase]:
    """Make the next chart with one document more, and its case without traffic."""

    def make(template: str) -> ChartCase:
        chart = tmp_path / "helm-ml-score-app"
        shutil.copytree(NEXT, chart, ignore=shutil.ignore_patterns("seatrial.yaml"))
        (chart / "templates" / "more.yaml").write_text(template, encoding="utf-8")
        return ChartCase(chart, "broken", set={"drainSeconds": 0, "replicas": 1}, makes=(NAMESPACE,))

    return make


def test_what_is_left_is_named_and_removed(chart_with: Callable[[str], ChartCase], chart_voyage: Sail) -> None:
    """A hook's object that Helm leaves fails the case; where it is allowed, it is removed and the case passes."""
    case = chart_with(FORGOTTEN)
    with pytest.raises(LeftoverError, match="ConfigMap/forgotten"):
        chart_voyage(case)
    assert chart_voyage(replace(case, leaves=("ConfigMap/forgotten",))).left == ("ConfigMap/forgotten",)


def test_a_failing_chart_test_shows_its_log(chart_with: Callable[[str], ChartCase], chart_voyage: Sail) -> None:
    """The case ends at `test`; what the test's pod printed is in the message."""
    with pytest.raises(ChartTestError, match="two is not three"):
        chart_voyage(chart_with(FAILING))


def test_an_unready_claim_is_named(chart_with: Callable[[str], ChartCase], site: Site, helm: HelmDeployer) -> None:
    """It is no workload, and is waited for like one."""
    voyage = site.voyage(helm)
    quick = replace(voyage, settings=replace(voyage.settings, rollout_timeout_s=10))
    with pytest.raises(RolloutError, match=r"persistentvolumeclaim/unbound[\s\S]*phase is Pending"):
        quick.run(chart_with(CLAIM))


def test_a_custom_object_that_never_gets_its_condition_is_named(site: Site, helm: HelmDeployer) -> None:
    """No controller sees to the platform's ScoreModel: whoever asks for its condition hears that."""
    voyage = site.voyage(helm)
    quick = replace(voyage, settings=replace(voyage.settings, rollout_timeout_s=60))
    case = ChartCase(
        PLATFORM,
        "no-controller",
        values=("ci/plain.yaml",),
        set={"warmup": {"enabled": False}, "migration": {"enabled": False}},
        ready={"ScoreModel": "Ready"},
        leaves=("CustomResourceDefinition/scoremodels.platform.example.com",),
    )
    with pytest.raises(RolloutError, match=r"scoremodel/[\s\S]*no controller has seen to it"):
        quick.run(case)


def test_the_api_server_judges_what_no_schema_knows(
    chart_with: Callable[[str], ChartCase], chart_voyage: Sail, helm: HelmDeployer
) -> None:
    """Every document is tried before any is installed: the refusal names the object, and there is no release."""
    with pytest.raises(DeployError, match=r"have the API server take[\s\S]*refused[\s\S]*externalName"):
        chart_voyage(chart_with(REFUSED))
    assert RELEASED.name not in {one.name for one in helm.list(all_namespaces=True)}


def test_a_change_the_cluster_cannot_make_is_stopped_before_the_upgrade(tmp_path: Path, chart_voyage: Sail) -> None:
    """A Deployment's selector: the API server's own words, and Helm is not asked for a second revision."""
    chart = tmp_path / "helm-ml-score-app"
    shutil.copytree(NEXT, chart, ignore=shutil.ignore_patterns("seatrial.yaml"))
    template = chart / "templates" / "deployment.yaml"
    text = template.read_text(encoding="utf-8")
    template.write_text(text.replace("      app: {{ .Values.app.name }}", "      app: moved"), encoding="utf-8")
    values = {"drainSeconds": 0, "replicas": 1}
    case = ChartCase(
        chart,
        "moved",
        set=values,
        makes=(NAMESPACE,),
        previous=Origin(path=NEXT),
        steps=(Step("install", previous=True, set=values), Step("upgrade"), Step("uninstall")),
    )
    with pytest.raises(DeployError, match=r"have the API server take[\s\S]*field is immutable"):
        chart_voyage(case)


def test_a_failed_first_install_leaves_nothing(chart_voyage: Sail, image_nobody_has: str) -> None:
    """It is taken back whole: the namespace that the chart makes is gone as well."""
    case = ChartCase(
        NEXT,
        "no-image",
        namespace="default",
        makes=(NAMESPACE,),
        steps=(Step("install", set={"app": {"image": image_nobody_has}}, fails="ErrImagePull|ImagePullBackOff"),),
    )
    assert chart_voyage(case).left == ()


@pytest.fixture
def image_nobody_has() -> str:
    """An image that no registry gives."""
    return "example/no-such-image:latest"


def test_the_image_is_the_one_the_charts_name(score_image: ImageRef) -> None:
    """The charts' own default is what the cluster was given: their cases set no image."""
    assert score_image.name == "example/test-ml-score-api:latest"
