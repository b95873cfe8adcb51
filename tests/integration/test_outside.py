"""An outside world, for real: what a container beside it gets under public names, over TLS, with no public network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import docker
import docker.errors
import pytest
import requests

from harness.engine.engine import Engine
from harness.errors import OutsideError
from harness.images.build import BuildRequest, ImageBuilder
from harness.images.push import image_in_engine, push
from harness.naming import Run
from harness.outside.ca import PrivateCA
from harness.outside.docker_hub import DockerHub
from harness.outside.git import Change, GitHost, GitHosting
from harness.outside.inside import ContainerFiles
from harness.outside.package_index import Wheelhouse, write_wheelhouse_context
from harness.outside.registry import LocalRegistry
from harness.outside.s3 import S3, ObjectStore
from harness.outside.trusting_image import write_trusting_context
from harness.outside.world import OutsideWorld
from harness.supply.resolver import Supply
from harness.wait import wait_until

RUN = Run.begin()
BUCKET = "a-bucket"
S3_SERVICE = S3((BUCKET,), region="eu-west-2")
HUB = "https://hub.docker.com/v2/repositories"
NETWORK = f"seatrial-test-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    """A client to look at the engine with."""
    with closing(engine.client()) as client:
        yield client


@pytest.fixture(scope="module")
def builder(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> ImageBuilder:
    """Builds this test's images."""
    return ImageBuilder(engine, run=RUN, log_dir=tmp_path_factory.mktemp("logs"), timeout_s=300)


@pytest.fixture(scope="module")
def network(client: docker.DockerClient) -> Iterator[str]:
    """A network of this test's own, as a cluster has one."""
    network = client.networks.create(NETWORK, labels=RUN.labels())
    yield NETWORK
    network.remove()


@pytest.fixture(scope="module")
def registry(engine: Engine, supply: Supply, network: str) -> Iterator[LocalRegistry]:
    """A registry on that network."""
    image = supply.image("registry").reference
    name = f"{network}-registry"
    registry = LocalRegistry.start(engine, image=image, name=name, network=network, labels=RUN.labels())
    yield registry
    registry.remove()


@pytest.fixture(scope="module")
def world(
    engine: Engine,
    supply: Supply,
    builder: ImageBuilder,
    network: str,
    registry: LocalRegistry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OutsideWorld]:
    """All services at once, with one small wheel."""
    context = tmp_path_factory.mktemp("wheelhouse")
    write_wheelhouse_context(context, [["six==1.17.0"]])
    base = {"BASE_IMAGE": supply.image("outside").reference}
    image = builder.build(BuildRequest(context, "seatrial-test/wheelhouse:latest", build_args=base))
    world = OutsideWorld.start(
        engine,
        image=image.name,
        name=f"{network}-outside",
        network=network,
        services=[GitHosting(), S3_SERVICE, DockerHub(registry.inside_address), Wheelhouse()],
        ca=PrivateCA(),
        labels=RUN.labels(),
    )
    yield world
    world.remove()


@pytest.fixture(scope="module")
def beside(
    client: docker.DockerClient,
    engine: Engine,
    supply: Supply,
    builder: ImageBuilder,
    world: OutsideWorld,
    network: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ContainerFiles]:
    """A container on the same network whose image trusts the world."""
    context = tmp_path_factory.mktemp("trusting")
    write_trusting_context(context, bundle=world.ca.bundle(), environment=world.environment())
    base = {"BASE_IMAGE": supply.image("outside").reference}
    image = builder.build(BuildRequest(context, "seatrial-test/trusting:latest", build_args=base))
    container = client.containers.run(
        image.name, ["sleep", "infinity"], detach=True, init=True, network=network, labels=RUN.labels()
    )
    yield ContainerFiles(engine, str(container.name))
    container.remove(force=True)


def status(beside: ContainerFiles, url: str) -> str:
    """Return the status that a GET of `url` gives there, its certificate verified."""
    asking = (
        "import sys, urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=10).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    return beside.run("python3", "-c", asking, url).strip()


def test_a_repository_is_cloned_and_what_is_pushed_arrives(
    world: OutsideWorld, beside: ContainerFiles, tmp_path: Path
) -> None:
    """A clone over HTTPS holds what was put there; after a push it holds the change, and not what was removed."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.txt").write_text("one", encoding="utf-8")
    (tmp_path / "b.txt").write_text("two", encoding="utf-8")
    git = GitHost(world.inside)
    first = git.create("example/project", tmp_path)
    beside.run("git", "clone", "--quiet", "--branch=master", git.url("example/project"), "/tmp/clone")
    assert beside.run("git", "-C", "/tmp/clone", "rev-parse", "HEAD").strip() == first == git.head("example/project")
    second = git.push("example/project", Change({"src/a.txt": "three", "b.txt": None}, "Change a, remove b"))
    beside.run("git", "-C", "/tmp/clone", "pull", "--quiet")
    assert beside.run("git", "-C", "/tmp/clone", "rev-parse", "HEAD").strip() == second
    assert beside.run("cat", "/tmp/clone/src/a.txt") == "three"
    assert beside.run("ls", "/tmp/clone").split() == ["src"]


@pytest.mark.parametrize(
    ("repository", "branch", "seen"),
    [
        pytest.param("example/nothing", "master", "repository 'https://github.com/example/nothing/' not found"),
        pytest.param("example/branches", "missing", "Remote branch missing not found"),
    ],
)
def test_git_says_what_is_missing(
    world: OutsideWorld, beside: ContainerFiles, tmp_path: Path, repository: str, branch: str, seen: str
) -> None:
    """A missing repository and a missing branch are told apart, in git's own words."""
    git = GitHost(world.inside)
    if repository == "example/branches":
        (tmp_path / "a").write_text("a", encoding="utf-8")
        git.create(repository, tmp_path)
    with pytest.raises(OutsideError, match=seen):
        beside.run("git", "clone", f"--branch={branch}", git.url(repository), f"/tmp/{uuid4().hex}")


def test_a_repository_is_not_made_twice(world: OutsideWorld, tmp_path: Path) -> None:
    """The second would write over the first."""
    (tmp_path / "a").write_text("a", encoding="utf-8")
    git = GitHost(world.inside)
    git.create("example/once", tmp_path)
    with pytest.raises(OutsideError, match="File exists"):
        git.create("example/once", tmp_path)


def test_objects_are_read_by_anybody_only_when_the_bucket_is_public(
    world: OutsideWorld, beside: ContainerFiles
) -> None:
    """Reading works under each of the bucket's names, in plain HTTP and with TLS, until the bucket is closed."""
    store = ObjectStore(world.http_address, S3_SERVICE)
    store.create_bucket(BUCKET)
    store.put(BUCKET, "data/some file.csv", b"1,2\n")
    assert store.keys(BUCKET) == ("data/some file.csv",)
    assert store.keys(BUCKET, "models/") == ()
    assert store.get(BUCKET, "data/some file.csv") == b"1,2\n"
    urls = [
        f"{scheme}://{host}/data/some%20file.csv"
        for scheme in ("http", "https")
        for host in (f"{BUCKET}.s3.eu-west-2.amazonaws.com", f"{BUCKET}.s3.amazonaws.com")
    ]
    assert [status(beside, url) for url in urls] == ["200"] * 4
    store.set_public_read(BUCKET, allowed=False)
    assert [status(beside, url) for url in urls] == ["403"] * 4


def test_a_missing_object_is_an_error_that_says_so(world: OutsideWorld) -> None:
    """S3's own code is in the message, the status in the facts."""
    store = ObjectStore(world.http_address, S3_SERVICE)
    with pytest.raises(OutsideError, match="NoSuch") as caught:
        store.get(BUCKET, f"nothing-{uuid4().hex}")
    assert caught.value.facts["status"] == 404


def test_docker_hub_knows_what_the_registry_has(
    engine: Engine, registry: LocalRegistry, world: OutsideWorld, beside: ContainerFiles, supply: Supply
) -> None:
    """A tag is there once it was pushed, and another tag of the same image still is not."""
    image = replace(image_in_engine(engine, supply.image("registry").reference), name="example/pushed:latest")
    assert status(beside, f"{HUB}/example/pushed/tags/latest") == "404"
    push(engine, image, registry.host_address)
    assert status(beside, f"{HUB}/example/pushed/tags/latest") == "200"
    assert status(beside, f"{HUB}/example/pushed/tags/other") == "404"


def test_pip_installs_from_the_wheelhouse_alone(beside: ContainerFiles) -> None:
    """What is in the wheelhouse is installed; what is not is refused, although the real index may have it."""
    install = ("python3", "-m", "pip", "install", "--target=/tmp/installed")
    assert "Successfully installed six-1.17.0" in beside.run(*install, "six==1.17.0")
    with pytest.raises(OutsideError, match=r"No matching distribution found for six==1\.16\.0"):
        beside.run(*install, "six==1.16.0")


def test_other_names_are_refused(world: OutsideWorld) -> None:
    """A name nobody stands in for is not answered by whoever comes first."""
    answer = requests.get(f"http://{world.http_address}/", headers={"Host": "example.org"}, timeout=10)
    assert answer.status_code == 421
    assert "example.org" in answer.text


def test_the_log_names_who_was_asked_for_what(world: OutsideWorld) -> None:
    """It is evidence: which name, which path, which answer."""
    requests.get(f"http://{world.http_address}/v2/x", headers={"Host": "hub.docker.com"}, timeout=10)
    said = "http://hub.docker.com/v2/x GET 404"
    wait_until("find it in the log", world.log, done=lambda log: said in log, timeout_s=30)


def test_a_world_that_cannot_serve_is_not_left_behind(
    engine: Engine, client: docker.DockerClient, supply: Supply
) -> None:
    """The error quotes the log, and the container is gone."""
    name = f"seatrial-test-{uuid4().hex[:8]}-outside"
    with pytest.raises(OutsideError, match="nginx"):
        OutsideWorld.start(
            engine,
            image=supply.image("outside").reference,
            name=name,
            services=[DockerHub("registry:5000", resolver="not an address")],
            ca=PrivateCA(),
            labels=RUN.labels(),
        )
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(name)
