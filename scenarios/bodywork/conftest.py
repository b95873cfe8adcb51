"""What the Bodywork stories share: a cluster of Bodywork's day, the world outside it, and the tutorial's project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from harness.assembly import Assembly
from harness.cluster.provider import ClusterHandle, ClusterSpec
from harness.deploy.bodywork import BodyworkDeployer, Pipeline
from harness.images.reference import ImageRef
from harness.outside.docker_hub import DockerHub
from harness.outside.git import GitHost, GitHosting
from harness.outside.package_index import Wheelhouse, write_wheelhouse_context
from harness.outside.s3 import S3, ObjectStore
from harness.outside.trusting_image import write_trusting_context
from harness.outside.world import OutsideWorld
from harness.scoring.response import ScoreResponse
from harness.site import Site
from harness.supply.resolver import Supply

FIXTURES = Path(__file__).parents[2] / "fixtures" / "bodywork"
PROJECT = FIXTURES / "project"

# The newest Kubernetes that serves what Bodywork 2.1 asks for: extensions/v1beta1.
KUBERNETES = "1.21"

REPOSITORY = "bodywork-ml/bodywork-ml-pipeline-project"
NAMESPACE = "ml-pipeline"
BUCKET = "bodywork-ml-pipeline-project"
DATA = "data/iris_classification_data.csv"
MODEL = "models/iris_tree_classifier.joblib"
CORE = "bodyworkml/bodywork-core:latest"

TRAIN, SERVE = "stage_1_train_model", "stage_2_scoring_service"
SCORE = "/iris/v1/score"
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
# What the tutorial's curl prints, to the character; Flask ends it with a line end.
ANSWER = (
    '{"species_prediction":"setosa","probabilities":"setosa=1.0|versicolor=0.0|virginica=0.0",'
    '"model_info":"DecisionTreeClassifier(class_weight=\'balanced\', random_state=42)"}\n'
)


def assert_the_tutorials_answer(response: ScoreResponse) -> ScoreResponse:
    """Hold an answer to the tutorial's, character for character."""
    response.assert_status(200).assert_content_type("application/json")
    assert response.text == ANSWER
    return response


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
    return site_at(beginning_cluster.result())


@pytest.fixture(scope="session")
def s3() -> S3:
    """S3 in the tutorial's region."""
    return S3((BUCKET,), region="eu-west-2")


@pytest.fixture(scope="session")
def world(seatrial: Assembly, site: Site, world_image: ImageRef, s3: S3) -> OutsideWorld:
    """github.com, Amazon's S3, hub.docker.com and a package index, served beside the cluster."""
    services = [GitHosting(), s3, DockerHub(f"{site.handle.name}-registry:5000"), Wheelhouse()]
    return seatrial.outside_world(site.handle, services, image=world_image.content_tag)


@pytest.fixture(scope="session")
def bodywork_image(
    world: OutsideWorld,
    site: Site,
    core_image: ImageRef,
    build_image: Callable[..., ImageRef],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The image of stages and of the command line: bodywork-core, trusting this run's world; pods may pull it."""
    context = tmp_path_factory.mktemp("trusting")
    write_trusting_context(context, bundle=world.ca.bundle(), environment=world.environment())
    image = build_image(context, name=CORE, build_args={"BASE_IMAGE": core_image.content_tag})
    site.load_image(image)
    return image.content_tag


@pytest.fixture(scope="session")
def bucket(world: OutsideWorld, s3: S3, bodywork_image: str, seatrial: Assembly) -> ObjectStore:
    """The tutorial's bucket, readable by anybody, with its data."""
    store = ObjectStore(world.http_address, s3)
    store.create_bucket(BUCKET)
    world.inside.put("/srv", {"iris_csv.py": (FIXTURES / "iris_csv.py").read_bytes()})
    csv = world.inside.run("python3", "/srv/iris_csv.py", "/srv/packages")
    store.put(BUCKET, DATA, csv.encode())
    return store


@pytest.fixture(scope="session")
def git(world: OutsideWorld) -> GitHost:
    """github.com, with the tutorial's project."""
    host = GitHost(world.inside)
    host.create(REPOSITORY, PROJECT)
    return host
