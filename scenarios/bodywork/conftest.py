"""What the Bodywork stories share: a cluster of Bodywork's day, the world outside it, and the tutorial's project."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from harness.assembly import Assembly
from harness.cluster.provider import ClusterHandle, ClusterSpec
from harness.deploy.bodywork import BodyworkDeployer, Pipeline
from harness.deploy.bodywork_base import Workflow
from harness.deploy.release import Release, ResourceRef
from harness.deploy.rollout import wait_for_rollout
from harness.errors import BodyworkError
from harness.gateway.contour import Gateway
from harness.images.reference import ImageRef
from harness.outside.docker_hub import DockerHub
from harness.outside.git import Change, GitHost, GitHosting
from harness.outside.package_index import Wheelhouse, write_wheelhouse_context
from harness.outside.s3 import S3, ObjectStore
from harness.outside.service import OutsideService
from harness.outside.trusting_image import write_trusting_context
from harness.outside.world import OutsideWorld
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.verdict import Verdict
from harness.site import Site
from harness.supply.builders.rootfs import HOST_CA_BUNDLES
from harness.supply.resolver import Supply
from harness.wait import wait_until

FIXTURES = Path(__file__).parents[2] / "fixtures" / "bodywork"
PROJECT = FIXTURES / "project"

# The newest Kubernetes that serves what Bodywork 2.1 asks for: extensions/v1beta1.
KUBERNETES = "1.21"

PROJECT_NAME = "bodywork-ml-pipeline-project"
SCHEDULE = "ml-pipeline"
REPOSITORY = f"bodywork-ml/{PROJECT_NAME}"
NAMESPACE = "ml-pipeline"
BUCKET = "bodywork-ml-pipeline-project"
DATA = "data/iris_classification_data.csv"
MODEL = "models/iris_tree_classifier.joblib"
CORE = "bodyworkml/bodywork-core:latest"

# A pipeline that fails within seconds.
SMALL = "example/small-project"
SMALL_PROJECT = FIXTURES / "small-project"
SMALL_YAML = (SMALL_PROJECT / "bodywork.yaml").read_text(encoding="utf-8")
FAULTS = "ml-faults"

TRAIN, SERVE = "stage_1_train_model", "stage_2_scoring_service"
SCORE = "/iris/v1/score"
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
# What the tutorial's curl prints, to the character; Flask ends it with a line end.
ANSWER = (
    '{"species_prediction":"setosa","probabilities":"setosa=1.0|versicolor=0.0|virginica=0.0",'
    '"model_info":"DecisionTreeClassifier(class_weight=\'balanced\', random_state=42)"}\n'
)


# The same flower, asked of a model that was taught with the first and the last name swapped.
SWAPPED_ANSWER = ANSWER.replace("setosa", "SETOSA").replace("virginica", "setosa").replace("SETOSA", "virginica")
SWAPPED_ANSWER = SWAPPED_ANSWER.replace(
    "virginica=1.0|versicolor=0.0|setosa=0.0", "setosa=0.0|versicolor=0.0|virginica=1.0"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the chapters in their order: the tutorial, what may go wrong with it, cleaning up, another Bodywork."""
    here = Path(__file__).parent
    chapters = ("test_tutorial.py", "test_failures.py", "test_clean_up.py", "test_version_3.py")
    order = {here / chapter: number for number, chapter in enumerate(chapters, start=1)}
    items.sort(key=lambda item: order.get(item.path, 0))


def with_names_swapped(csv: str) -> str:
    """Return data from which a model learns the first and the last name the wrong way round."""
    return csv.replace("setosa", "?").replace("virginica", "setosa").replace("?", "virginica")


def assert_answer(response: ScoreResponse, text: str = ANSWER) -> ScoreResponse:
    """Hold an answer to the tutorial's, character for character."""
    response.assert_status(200).assert_content_type("application/json")
    assert response.text == text
    return response


def assert_soon(seatrial: Assembly, request: ScoreRequest, text: str) -> ScoreResponse:
    """Wait for an answer: a pod that is told to go answers until whoever leads requests to it has heard of that."""
    answer = wait_until(
        "see the new version answer",
        lambda: seatrial.transport.send(request),
        done=lambda answer: answer.text == text,
        timeout_s=30,
        describe=ScoreResponse.summary,
    )
    return assert_answer(answer, text)


# -- the host


def host_files() -> dict[Path, bytes | None]:
    """Return what the host has of its hosts file, trust store and git configuration; ``None`` for what is not there."""
    home = Path.home()
    git = Path(os.environ.get("XDG_CONFIG_HOME", home / ".config")) / "git"
    paths = (Path("/etc/hosts"), *HOST_CA_BUNDLES, Path("/etc/gitconfig"), home / ".gitconfig", git / "config")
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture(scope="session", autouse=True)
def host_before() -> Mapping[Path, bytes | None]:
    """The host as it was before the first of these stories."""
    return host_files()


# -- images


@pytest.fixture(scope="session")
def core_image(build_image: Callable[..., ImageRef], supply: Supply) -> ImageRef:
    """The image of bodyworkml/bodywork-core, from the wheel."""
    base = supply.image("python-3.11").reference
    return build_image(FIXTURES / "bodywork-core", name="seatrial/bodywork-core:2.1.3", build_args={"BASE_IMAGE": base})


@pytest.fixture(scope="session")
def world_image(
    build_image: Callable[..., ImageRef], supply: Supply, tmp_path_factory: pytest.TempPathFactory
) -> ImageRef:
    """What serves the world, with the packages that the stages install."""
    context = tmp_path_factory.mktemp("wheelhouse")
    stages = yaml.safe_load((PROJECT / "bodywork.yaml").read_text())["stages"]
    constraints = (FIXTURES / "bodywork-core" / "constraints.txt").read_text()
    write_wheelhouse_context(context, [stage["requirements"] for stage in stages.values()], constraints=constraints)
    base = {"BASE_IMAGE": supply.image("outside").reference}
    return build_image(context, name="seatrial/bodywork-world:latest", build_args=base)


# -- the cluster and what is outside it


@pytest.fixture(scope="session")
def beginning_cluster(seatrial: Assembly) -> Future[ClusterHandle]:
    """The cluster, begun: images are built meanwhile."""
    return seatrial.begin_cluster(ClusterSpec(KUBERNETES), suffix="-bodywork")


@pytest.fixture(scope="session")
def site(
    beginning_cluster: Future[ClusterHandle],
    core_image: ImageRef,
    world_image: ImageRef,
    site_at: Callable[[ClusterHandle], Site],
) -> Site:
    """A cluster of Bodywork's day, whatever --kubernetes says."""
    del core_image, world_image  # built while the nodes boot
    return site_at(beginning_cluster.result())


@pytest.fixture(scope="session")
def gateway(site: Site) -> Iterator[Gateway]:
    """The gateway of this cluster: the run's, which other scenarios may have made by now, stands in theirs."""
    with site.installed_gateway() as gateway:
        yield gateway


@pytest.fixture(scope="session")
def s3() -> S3:
    """S3 in the tutorial's region."""
    return S3((BUCKET,), region="eu-west-2")


@pytest.fixture(scope="session")
def world(seatrial: Assembly, site: Site, world_image: ImageRef, s3: S3) -> OutsideWorld:
    """github.com, Amazon's S3, hub.docker.com and a package index, served beside the cluster."""
    hub = DockerHub(f"{site.handle.name}-registry:5000")
    services: list[OutsideService] = [GitHosting(), s3, hub, Wheelhouse()]
    return seatrial.outside_world(site.handle, services, image=world_image.content_tag)


@pytest.fixture(scope="session")
def bodywork_image(
    world: OutsideWorld,
    site: Site,
    seatrial: Assembly,
    core_image: ImageRef,
    build_image: Callable[..., ImageRef],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The image of stages and of the command line: bodywork-core, trusting this run's world; pods may pull it."""
    context = tmp_path_factory.mktemp("trusting")
    write_trusting_context(context, bundle=world.ca.bundle(), environment=world.environment())
    name = "seatrial/bodywork-trusting:latest"
    image = build_image(context, name=name, build_args={"BASE_IMAGE": core_image.content_tag})
    # Only the cluster's registry has it under the name that Bodywork asks for: the engine may be the user's.
    site.load_image(replace(image, name=CORE))
    seatrial.recorder.note(f"stand-in at {CORE}: Bodywork's image on Docker Hub: the wheel of 2.1.3 on Python 3.11")
    seatrial.recorder.note("stand-in at docker.io: Docker Hub's images: the cluster's own registry")
    return image.content_tag


@pytest.fixture(scope="session")
def iris_csv(world: OutsideWorld) -> str:
    """The tutorial's data."""
    world.inside.put("/srv", {"iris_csv.py": (FIXTURES / "iris_csv.py").read_bytes()})
    return world.inside.run("python3", "/srv/iris_csv.py", "/srv/packages")


@pytest.fixture(scope="session")
def bucket(world: OutsideWorld, s3: S3, iris_csv: str) -> ObjectStore:
    """The tutorial's bucket, readable by anybody, with its data."""
    store = ObjectStore(world.http_address, s3)
    store.create_bucket(BUCKET)
    store.put(BUCKET, DATA, iris_csv.encode())
    return store


@pytest.fixture(scope="session")
def git(world: OutsideWorld) -> GitHost:
    """github.com, with the tutorial's project."""
    host = GitHost(world.inside)
    host.create(REPOSITORY, PROJECT)
    return host


# -- the pipeline


@pytest.fixture(scope="session")
def pipelines(site: Site, bodywork_image: str, bucket: ObjectStore) -> Iterator[BodyworkDeployer]:
    """Runs pipelines; one for all stories, which build upon each other as the tutorial's chapters do."""
    del bucket  # the stages ask for it
    with closing(site.bodywork(bodywork_image)) as deployer:
        yield deployer


@pytest.fixture(scope="session")
def set_up(site: Site, pipelines: BodyworkDeployer) -> Iterator[Release]:
    """Namespace ml-pipeline, made by Bodywork."""
    with site.turn_with_namespace(NAMESPACE):
        yield pipelines.setup_namespace(NAMESPACE)


@pytest.fixture(scope="session")
def pipeline(git: GitHost, set_up: Release) -> Pipeline:
    """The tutorial's project."""
    del set_up
    return Pipeline(git.url(REPOSITORY), PROJECT_NAME, NAMESPACE)


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Waits for Bodywork, whose pauses are long."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        yield pool


@pytest.fixture(scope="session")
def beginning_workflow(pool: ThreadPoolExecutor, pipelines: BodyworkDeployer, pipeline: Pipeline) -> Future[Workflow]:
    """The project's first run, begun."""
    return pool.submit(pipelines.run, pipeline)


@pytest.fixture(scope="session")
def first_workflow(beginning_workflow: Future[Workflow], gateway: Gateway) -> Workflow:
    """The project's first run: the model is trained, and the service answers."""
    del gateway  # it is installed meanwhile: three quarters of the run are pauses
    return beginning_workflow.result()


@pytest.fixture(scope="session")
def through_api_server(site: Site, pipeline: Pipeline, first_workflow: Workflow) -> ScoreRequest:
    """The tutorial's request, at the path that `kubectl proxy` gives it."""
    del first_workflow
    endpoint = site.api_proxy(pipeline.service(SERVE), namespace=NAMESPACE)
    return ScoreRequest(endpoint, path=SCORE, payload=FLOWER, timeout_s=10.0)


@pytest.fixture(scope="session")
def through_ingress(gateway: Gateway, pipeline: Pipeline, first_workflow: Workflow) -> ScoreRequest:
    """The tutorial's request, through the gateway that stands in for ingress-nginx."""
    del first_workflow
    path = pipeline.ingress_path(SERVE) + SCORE
    return ScoreRequest(gateway.endpoint, path=path, payload=FLOWER, timeout_s=10.0)


# -- what goes wrong


@pytest.fixture(scope="session")
def faults_set_up(site: Site, pipelines: BodyworkDeployer) -> Iterator[Release]:
    """A namespace for pipelines that fail."""
    with site.turn_with_namespace(FAULTS):
        yield pipelines.setup_namespace(FAULTS)


@pytest.fixture(scope="session")
def small(git: GitHost, faults_set_up: Release) -> Pipeline:
    """A pipeline that fails within seconds, once something has been pushed to it."""
    del faults_set_up
    git.create(SMALL, SMALL_PROJECT)
    return Pipeline(git.url(SMALL), "small-project", FAULTS)


@dataclass(frozen=True)
class NeverStarts:
    """What was seen of a service whose new version does not start.

    Args:
        error: what the workflow ended in.
        commit_before: the commit that its pods were made from, before.
        commit_after: the same, after.
        traffic: what its clients got meanwhile.
        answer_after: what they get when the old version has been put back.
    """

    error: BodyworkError
    commit_before: str
    commit_after: str
    traffic: Verdict
    answer_after: ScoreResponse


@pytest.fixture(scope="session")
def overrunning(
    pool: ThreadPoolExecutor, pipelines: BodyworkDeployer, git: GitHost, faults_set_up: Release
) -> Future[Workflow]:
    """A workflow whose batch stage takes too long."""
    del faults_set_up
    git.create("example/overrun", SMALL_PROJECT)
    yaml_text = SMALL_YAML.replace("small-project", "overrun").replace("_time_seconds: 5", "_time_seconds: 1")
    slow = {"bodywork.yaml": yaml_text, "train/train.py": "import time\n\ntime.sleep(600)\n"}
    git.push("example/overrun", Change(slow))
    return pool.submit(pipelines.run, Pipeline(git.url("example/overrun"), "overrun", FAULTS), timeout_s=180.0)


# Leaves an object in the bucket. The signature is made up: nobody checks it.
_STORES = f"""
from urllib.error import HTTPError
from urllib.request import Request, urlopen

BUCKET = "http://{BUCKET}.s3.eu-west-2.amazonaws.com"


def store(key):
    scope = "anybody/20200101/eu-west-2/s3/aws4_request"
    signature = f"AWS4-HMAC-SHA256 Credential={{scope}}, SignedHeaders=host, Signature=0"
    urlopen(Request(f"{{BUCKET}}/{{key}}", b"tried", {{"Authorization": signature}}, method="PUT"), timeout=10)
"""

# Fails unless the bucket says that it has failed before.
FAILS_ONCE = f"""{_STORES}
try:
    urlopen(f"{{BUCKET}}/tried", timeout=10)
except HTTPError:
    store("tried")
    raise
print("second time lucky")
"""

# Fails each time; each of its pods leaves its name.
ALWAYS_FAILS = f"""{_STORES}
import socket

store(f"tries/{{socket.gethostname()}}")
raise RuntimeError("no flower grows here")
"""


@pytest.fixture(scope="session")
def retried(
    pool: ThreadPoolExecutor, pipelines: BodyworkDeployer, git: GitHost, faults_set_up: Release
) -> Future[Workflow]:
    """A workflow whose batch stage fails the first time."""
    del faults_set_up
    git.create("example/retried", SMALL_PROJECT)
    yaml_text = SMALL_YAML.replace("small-project", "retried").replace("train >> serve", "train")
    git.push("example/retried", Change({"bodywork.yaml": yaml_text, "train/train.py": FAILS_ONCE}))
    return pool.submit(pipelines.run, Pipeline(git.url("example/retried"), "retried", FAULTS), timeout_s=180.0)


@pytest.fixture(scope="session")
def never_starting(
    pool: ThreadPoolExecutor,
    pipelines: BodyworkDeployer,
    git: GitHost,
    faults_set_up: Release,
    gateway: Gateway,
    site: Site,
    seatrial: Assembly,
) -> Future[NeverStarts]:
    """A service whose second version does not start."""
    del faults_set_up
    repository = "example/never-starts"
    pipeline = Pipeline(git.url(repository), "never-starts", FAULTS)
    git.create(repository, SMALL_PROJECT)
    yaml_text = SMALL_YAML.replace("small-project", "never-starts").replace("train >> serve", "serve")
    # Without probes a pod that lives for as long counts as started, and on a busy host it takes its time to fail. And
    # 90 s later Bodywork reads what the container's present life has said: it is held back by then, its error told.
    yaml_text = yaml_text.replace("startup_time_seconds: 5", "startup_time_seconds: 60")
    git.push(repository, Change({"bodywork.yaml": yaml_text}))

    def commit() -> str:
        with closing(site.kubectl()) as kubectl:
            (deployment,) = kubectl.get(f"deployment/{pipeline.service('serve')}", namespace=FAULTS)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        return next(str(one["value"]) for one in container["env"] if one["name"] == "GIT_COMMIT_HASH")

    def run() -> NeverStarts:
        pipelines.run(pipeline, timeout_s=240.0)
        site.wait_for_route(pipeline.ingress_path("serve"))
        before = commit()
        git.push(
            repository, Change({"serve/serve.py": "raise RuntimeError('the weights are not where they should be')\n"})
        )
        request = ScoreRequest(gateway.endpoint, path=pipeline.ingress_path("serve"), payload={}, timeout_s=10.0)
        with (
            seatrial.traffic(
                request,
                check=lambda answer: answer.assert_status(200),
                variant=lambda answer: str(answer.json()["version"]),
                rate_per_s=2,
                name="a service whose new version never starts",
            ) as traffic,
            pytest.raises(BodyworkError) as caught,
        ):
            pipelines.run(pipeline, timeout_s=300.0)
        put_back = ResourceRef("Deployment", pipeline.service("serve"), FAULTS, "apps/v1")
        wait_for_rollout(site.handle, put_back, 60.0)
        return NeverStarts(caught.value, before, commit(), traffic.verdict, seatrial.transport.send(request))

    return pool.submit(run)


@pytest.fixture(scope="session")
def begun_failures(request: pytest.FixtureRequest) -> None:
    """Begin what takes long to fail while something else takes long to succeed, if it is to be told at all."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in ("overrunning", "never_starting", "retried"):
        if name in wanted:
            request.getfixturevalue(name)
