"""Bodywork 3 on the same cluster: the tutorial's project, deployed with 3.x's own commands, and deleted with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness.assembly import Assembly
from harness.deploy.bodywork3 import CONTROL_NAMESPACE, Bodywork3Deployer, Project
from harness.deploy.bodywork_base import Workflow
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.release import Release
from harness.errors import BodyworkError, BodyworkProjectError, BodyworkStageError
from harness.gateway.contour import Gateway
from harness.images.reference import ImageRef
from harness.outside.git import Change, GitHost
from harness.outside.s3 import ObjectStore
from harness.outside.trusting_image import write_trusting_context
from harness.outside.world import OutsideWorld
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.traffic import TrafficProbe
from harness.scoring.verdict import ErrorBudget
from harness.site import Site
from harness.supply.resolver import Supply
from scenarios.bodywork.conftest import (
    ANSWER,
    BUCKET,
    DATA,
    FIXTURES,
    FLOWER,
    MODEL,
    PROJECT,
    PROJECT_NAME,
    SCORE,
    SERVE,
    SMALL_PROJECT,
    SMALL_YAML,
    SWAPPED_ANSWER,
    assert_answer,
    assert_soon,
    with_names_swapped,
)

Traffic = Callable[..., AbstractContextManager[TrafficProbe]]

VERSION = "3.0.12"
CORE = f"bodyworkml/bodywork-core:{VERSION}"
# Bodywork makes namespaces of these names.
IRIS, SMALL = "iris-pipeline", "small-pipeline"
TUTORIAL_YAML = (PROJECT / "bodywork.yaml").read_text(encoding="utf-8")
SERVICE = "stage-2-scoring-service"


def of_version_3(bodywork_yaml: str, *, old: str, name: str) -> str:
    """Return a bodywork.yaml of version 1.0 as 3.x wants it: the stages are what they were."""
    text = bodywork_yaml.replace('version: "1.0"', 'version: "1.1"').replace("project:", "pipeline:")
    text = text.replace(f"name: {old}", f"name: {name}").replace("bodywork-core:latest", f"bodywork-core:{VERSION}")
    # 3.x restarts pods that do not listen by then: they install their packages first, on a busy host for a minute.
    return text.replace("max_startup_time_seconds: 30", "max_startup_time_seconds: 120")


IRIS_YAML = of_version_3(TUTORIAL_YAML, old=PROJECT_NAME, name=IRIS)


@pytest.fixture(scope="module")
def image(
    world: OutsideWorld,
    site: Site,
    seatrial: Assembly,
    supply: Supply,
    build_image: Callable[..., ImageRef],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The image of stages and of the command line, with Bodywork 3 in it, trusting this run's world."""
    arguments = {"BASE_IMAGE": supply.image("python-3.11").reference, "BODYWORK_VERSION": VERSION}
    core = build_image(FIXTURES / "bodywork-core", name=f"seatrial/bodywork-core:{VERSION}", build_args=arguments)
    context = tmp_path_factory.mktemp("trusting")
    write_trusting_context(context, bundle=world.ca.bundle(), environment=world.environment())
    name = f"seatrial/bodywork-trusting:{VERSION}"
    image = build_image(context, name=name, build_args={"BASE_IMAGE": core.content_tag})
    site.load_image(replace(image, name=CORE))
    seatrial.recorder.note(f"stand-in at {CORE}: Bodywork's image on Docker Hub: {VERSION} from PyPI on Python 3.11")
    return image.content_tag


@pytest.fixture(scope="module")
def bodywork(site: Site, image: str) -> Iterator[Bodywork3Deployer]:
    """Deploys; one for all stories, which build upon each other."""
    with ExitStack() as stack:
        for namespace in (CONTROL_NAMESPACE, IRIS, SMALL):
            stack.enter_context(site.turn_with_namespace(namespace))
        yield stack.enter_context(closing(site.bodywork3(image)))


@pytest.fixture(scope="module")
def kubectl(site: Site) -> Iterator[KubectlDeployer]:
    """Looks at what Bodywork made."""
    with closing(site.kubectl()) as deployer:
        yield deployer


@pytest.fixture(scope="module")
def configured(bodywork: Bodywork3Deployer) -> Release:
    """The cluster, configured for Bodywork 3."""
    return bodywork.configure_cluster()


@pytest.fixture(scope="module")
def project(git: GitHost) -> Project:
    """The tutorial's project with a bodywork.yaml of version 1.1."""
    repository = f"example/{IRIS}"
    git.create(repository, PROJECT)
    git.push(repository, Change({"bodywork.yaml": IRIS_YAML}))
    return Project(git.url(repository), IRIS, "master")


@pytest.fixture(scope="module")
def deployed(
    bodywork: Bodywork3Deployer, configured: Release, project: Project, bucket: ObjectStore, iris_csv: str
) -> Workflow:
    """The project, deployed: the model is trained, and the service answers."""
    del configured
    bucket.put(BUCKET, DATA, iris_csv.encode())
    return bodywork.deploy(project)


@pytest.fixture(scope="module")
def through_api_server(site: Site, project: Project, deployed: Workflow) -> ScoreRequest:
    """The tutorial's request, at the path that `kubectl proxy` gives it."""
    del deployed
    endpoint = site.api_proxy(project.service(SERVE), namespace=project.namespace)
    return ScoreRequest(endpoint, path=SCORE, payload=FLOWER, timeout_s=10.0)


def test_the_cluster_is_configured(bodywork: Bodywork3Deployer, configured: Release) -> None:
    """`bodywork configure-cluster` says what it makes; again, it finds it."""
    assert configured.details["created"] == (
        "namespace=bodywork-deployment-jobs",
        "service-account=bodywork-workflow-controller",
        "cluster-role-binding=bodywork-workflow-controller--bodywork-deployment-jobs",
    )
    again = bodywork.configure_cluster()
    assert (again.resources, again.details["created"]) == ((), ())


def test_a_deployment_trains_and_serves(
    bodywork: Bodywork3Deployer,
    project: Project,
    deployed: Workflow,
    bucket: ObjectStore,
    kubectl: KubectlDeployer,
    git: GitHost,
) -> None:
    """`bodywork create deployment` stores a model and leaves two replicas, a Service and an Ingress, and says how."""
    trained, serving = deployed.stages
    assert trained.name.startswith("stage-1-train-model-")
    assert "read 150 rows from http://bodywork-ml-pipeline-project.s3.eu-west-2.amazonaws.com" in trained.text
    assert serving.name.startswith(f"{SERVICE}-")
    assert "loaded model=DecisionTreeClassifier" in serving.text
    assert bucket.keys(BUCKET, "models/") == (MODEL,)
    assert Path(deployed.log).read_text().splitlines() == deployed.output.splitlines()

    (deployment,) = kubectl.get(f"deployment/{SERVICE}", namespace=IRIS)
    assert (deployment["spec"]["replicas"], deployment["status"]["readyReplicas"]) == (2, 2)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["startupProbe"]["tcpSocket"]) == (CORE, {"port": 5000})
    assert {(ref.kind, ref.name) for ref in deployed.release.resources} == {
        (kind, SERVICE) for kind in ("Deployment", "Service", "Ingress")
    }
    shown = bodywork.service(project, SERVE)
    assert (shown.name, shown.namespace, shown.available, shown.port) == (SERVICE, IRIS, 2, 5000)
    assert (shown.git_url, shown.git_branch, shown.ingress_route) == (project.url, "master", f"/{IRIS}/{SERVICE}")
    assert git.head(f"example/{IRIS}").startswith(shown.git_commit)
    (listed,) = bodywork.services(namespace=IRIS)
    assert (listed.pipeline, listed.name, listed.git_url) == (IRIS, SERVICE, project.url)


def test_the_service_answers_through_the_api_server(through_api_server: ScoreRequest, seatrial: Assembly) -> None:
    """The tutorial's request gets the tutorial's answer, character for character."""
    assert_answer(seatrial.transport.send(through_api_server))


def test_the_service_answers_through_its_ingress(
    gateway: Gateway, project: Project, deployed: Workflow, site: Site, seatrial: Assembly
) -> None:
    """At the Ingress's path, the prefix stripped: the same answer. The gateway stands in for ingress-nginx."""
    del deployed
    path = project.ingress_path(SERVE)
    site.wait_for_route(path)
    assert_answer(seatrial.score(gateway.endpoint, FLOWER, path=path + SCORE))


def test_an_update_fails_no_request(
    bodywork: Bodywork3Deployer,
    project: Project,
    bucket: ObjectStore,
    iris_csv: str,
    git: GitHost,
    through_api_server: ScoreRequest,
    traffic: Traffic,
    seatrial: Assembly,
) -> None:
    """New data and a push: the update learns the one and deploys the other; its pods get requests once they listen."""
    bucket.put(BUCKET, DATA, with_names_swapped(iris_csv).encode())
    git.push(f"example/{IRIS}", Change({"NOTES.md": "Names swapped.\n"}, "Say what changed"))

    def either(response: ScoreResponse) -> None:
        assert response.assert_status(200).text in {ANSWER, SWAPPED_ANSWER}

    def which(response: ScoreResponse) -> str:
        return "new" if response.text == SWAPPED_ANSWER else "old"

    with traffic(through_api_server, check=either, variant=which, rate_per_s=5, name="bodywork 3") as direct:
        bodywork.update(project)

    assert_soon(seatrial, through_api_server, SWAPPED_ANSWER)
    assert git.head(f"example/{IRIS}").startswith(bodywork.service(project, SERVE).git_commit)
    direct.verdict.assert_within(ErrorBudget(min_requests=100))
    assert set(direct.verdict.variants) == {"old", "new"}


def test_a_project_of_version_2_is_refused(
    bodywork: Bodywork3Deployer, project: Project, deployed: Workflow, git: GitHost
) -> None:
    """The bodywork.yaml that Bodywork 2 runs has no `pipeline:`; what was deployed stays."""
    git.push(f"example/{IRIS}", Change({"bodywork.yaml": TUTORIAL_YAML}))
    with pytest.raises(BodyworkProjectError, match=r"a bodywork\.yaml of Bodywork 2") as caught:
        bodywork.update(project)
    assert caught.value.reason == "invalid configuration"
    assert bodywork.deployed(project).resources == deployed.release.resources
    git.push(f"example/{IRIS}", Change({"bodywork.yaml": IRIS_YAML}))


def test_a_stage_fails(bodywork: Bodywork3Deployer, configured: Release, git: GitHost) -> None:
    """What its code raised is the reason, and the stage after it is not begun."""
    del configured
    repository = f"example/{SMALL}"
    git.create(repository, SMALL_PROJECT)
    # Without a second try: 3.0.12 counts a Job's pods to one.
    small_yaml = of_version_3(SMALL_YAML, old="small-project", name=SMALL).replace("retries: 1", "retries: 0")
    raises = "raise RuntimeError('no flower grows here')\n"
    git.push(repository, Change({"bodywork.yaml": small_yaml, "train/train.py": raises}))
    small = Project(git.url(repository), SMALL)
    with pytest.raises(BodyworkStageError) as caught:
        bodywork.deploy(small, timeout_s=180.0)
    assert caught.value.reason == "stage failed"
    assert "RuntimeError: no flower grows here" in str(caught.value)
    assert "RuntimeError: no flower grows here" in Path(caught.value.log).read_text()
    assert bodywork.deployed(small).resources == ()


def test_the_deployment_is_deleted(
    bodywork: Bodywork3Deployer, project: Project, deployed: Workflow, kubectl: KubectlDeployer
) -> None:
    """`bodywork delete deployment` takes the namespace; what configuring made outside of its own stays, named."""
    del deployed
    bodywork.undeploy(project)
    assert kubectl.get(f"namespace/{IRIS}") == ()
    with pytest.raises(BodyworkError, match="could not be found"):
        bodywork.undeploy(project)
    binding, *_ = (str(ref) for ref in bodywork.leftovers(CONTROL_NAMESPACE))
    assert binding == "clusterrolebinding/bodywork-workflow-controller--bodywork-deployment-jobs"
