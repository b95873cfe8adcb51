"""Which cluster a run gets from kind: one that is there, another in its place, or a new one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from docker import DockerClient

from harness.cleanup import CleanupStack
from harness.cluster import kubeconfig
from harness.cluster.kind import KindProvider
from harness.cluster.provider import ClusterSpec
from harness.commands.kind import LABEL_CLUSTER, context_name
from harness.engine.engine import Engine
from harness.errors import ClusterError
from harness.naming import LABEL_ARTIFACT, Run, process_start_ticks
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.progress import LiveProgress, Progress, SilentProgress
from harness.settings.model import ClusterSettings
from harness.testing import RecordingRunner

SPEC = ClusterSpec("1.34")
# The process that started this one is another run, which lives.
OTHER = replace(
    Run.begin(), run_id="aaaaaaaa", owner_pid=os.getppid(), owner_started=process_start_ticks(os.getppid()) or 0
)


@dataclass
class FakeDocker:
    """The client of an engine in which nodes appear when kind is asked, and go when they are removed.

    Args:
        image_id: what the node image is at present.
        labels: those of the node image.
        clusters: those whose node is there.
        executed: what ran in nodes: the node, and the program.
    """

    image_id: str = "sha256:one"
    labels: dict[str, str] = field(default_factory=dict)
    clusters: list[str] = field(default_factory=list)
    executed: list[tuple[str, str]] = field(default_factory=list)
    exit_code: int = 0

    def __post_init__(self) -> None:
        self.api = self
        self.images = SimpleNamespace(get=lambda _: SimpleNamespace(labels=self.labels, id=self.image_id))
        self.volumes = SimpleNamespace(list=lambda **_: [])

    def close(self) -> None:
        """Nothing is open."""

    def containers(self, *, all: bool = False, filters: Mapping[str, Any]) -> list[dict[str, Any]]:  # noqa: A002
        """Return the nodes of the cluster that is asked for."""
        found = [name for name in self.clusters if filters["label"] == f"{LABEL_CLUSTER}={name}"]
        return [
            {
                "Names": [f"/{name}-control-plane"],
                "Id": name,
                "Labels": {LABEL_CLUSTER: name},
                "State": "running",
                "Status": "Up",
                "NetworkSettings": {"Networks": {name: {}}},
            }
            for name in found
        ]

    def remove_container(self, container_id: str, **_: Any) -> None:
        """Remove the node of a cluster."""
        self.clusters.remove(container_id)

    def networks(self, **_: Any) -> list[dict[str, Any]]:
        """There are none to speak of."""
        return []

    def inspect_network(self, _: str) -> dict[str, Any]:
        """The engine's own network has no options."""
        return {}

    def create_network(self, *_: Any, **__: Any) -> None:
        """Make none."""

    def exec_create(self, node: str, argv: list[str]) -> dict[str, str]:
        """Note it."""
        self.executed.append((node, argv[0]))
        return {"Id": "execution"}

    def exec_start(self, _: str) -> bytes:
        """Say what a node without the program says."""
        return b"iptables: not found" if self.exit_code else b""

    def exec_inspect(self, _: str) -> dict[str, int]:
        """Tell how it ended."""
        return {"ExitCode": self.exit_code}

    def logs(self, _: str) -> bytes:
        """Return what a node said."""
        return b"booting"


@dataclass(frozen=True)
class FakeEngine(Engine):
    """An engine with that client."""

    docker: FakeDocker = field(default_factory=FakeDocker)

    def client(self) -> DockerClient:
        """See :meth:`Engine.client`."""
        return cast("DockerClient", self.docker)


def _must_be_there(reference: str) -> None:
    """Stand for the pull of a node image, of which there is no need here."""
    raise AssertionError(f"the engine lacks {reference}")


class Host:
    """A host with an engine, a kind and one cache: what the runs on it share.

    Args:
        state_dir: where its clusters are recorded.
    """

    def __init__(self, state_dir: Path) -> None:
        self.docker = FakeDocker()
        self.engine = FakeEngine("unix:///d.sock", "20.10", False, None, self.docker)
        self.state_dir = state_dir
        self.progress: Progress = SilentProgress()
        self.runner = RecordingRunner()
        self.runner.on("kind", "version", stdout="0.32.0")
        self.runner.on("kind", "create", answer=self._create)
        self.runner.on("kind", "export")

    def _create(self, command: Command) -> Outcome:
        name, path = (command.argv[command.argv.index(option) + 1] for option in ("--name", "--kubeconfig"))
        self.docker.clusters.append(name)
        entry = {"name": context_name(name)}
        document = {
            "clusters": [{**entry, "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{**entry, "user": {}}],
            "contexts": [{**entry, "context": {"cluster": context_name(name), "user": context_name(name)}}],
            "current-context": context_name(name),
        }
        Path(path).write_text(yaml.safe_dump(document), encoding="utf-8")
        return Outcome(command, 0)

    def provider(self, run: Run | None = None, **changes: Any) -> KindProvider:
        """Return the provider of one run, which keeps its clusters."""
        settings = ClusterSettings("kind", None, True, None, None, False, ("1.34",), None, 5.0, 5.0)
        return KindProvider(
            engine=self.engine,
            runner=self.runner,
            kind_path=Path("/bin/kind"),
            kubectl=lambda _: Path("/bin/kubectl"),
            node_image=lambda version: f"node:{version}",
            pull=_must_be_there,
            registry=None,
            cleanup=CleanupStack(),
            run=run or Run.begin(),
            settings=replace(settings, **changes),
            state_dir=self.state_dir,
            progress=self.progress,
        )

    def left_by_a_run(self, **changes: Any) -> str:
        """Have a run make and keep a cluster; return its name."""
        provider = self.provider(**changes)
        made = provider.create(provider.name_for(SPEC), SPEC)
        provider.release(made.name)
        return made.name

    @property
    def created(self) -> int:
        """How often kind was asked to make a cluster."""
        return sum(command.argv[1] == "create" for command in self.runner.commands)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose clusters are usable as soon as kind has made them: what readiness is has tests of its own."""
    monkeypatch.setattr("harness.cluster.kind.wait_until_usable", lambda *_, **__: ("one",))
    monkeypatch.setattr("harness.cluster.kind.server_version", lambda _: "v1.34.4")
    monkeypatch.setattr("harness.cluster.kind.is_healthy", lambda *_, **__: "")
    return Host(tmp_path / "clusters")


# -- kept clusters


def test_the_next_run_finds_a_kept_cluster(host: Host) -> None:
    """The same declaration has the same name, and what is there is used as it is."""
    name = host.left_by_a_run()
    second = host.provider(OTHER)
    assert second.name_for(SPEC) == name
    assert second.create(name, SPEC).reused
    assert (host.docker.clusters, host.created) == ([name], 1)


def test_another_declaration_gets_a_cluster_of_its_own(host: Host) -> None:
    """Both are kept side by side."""
    name = host.left_by_a_run()
    second = host.provider(OTHER)
    larger = ClusterSpec.of_size("1.34", workers=1)
    made = second.create(second.name_for(larger), larger)
    assert made.name != name
    assert host.docker.clusters == [name, made.name]


def test_a_kept_cluster_of_another_node_image_is_replaced(host: Host) -> None:
    """The same declaration is made from something else now: nobody would find the old one again."""
    old = host.left_by_a_run()
    host.docker.image_id = "sha256:two"
    new = host.left_by_a_run()
    assert new != old
    assert host.docker.clusters == [new]
    assert [path.name for path in host.state_dir.iterdir() if not path.name.startswith(".")] == [new]


def test_a_kept_cluster_that_a_living_run_uses_is_not_replaced(host: Host) -> None:
    """It stays until that run has left, and the new one is made beside it."""
    old = host.left_by_a_run()
    host.provider(OTHER).create(old, SPEC)
    host.docker.image_id = "sha256:two"
    assert host.docker.clusters == [old, host.left_by_a_run()]


@pytest.mark.parametrize("change", ["node image", "declaration"])
def test_a_cluster_of_the_users_name_is_made_anew_from_another_recipe(host: Host, change: str) -> None:
    """A name is one cluster: whoever has nobody in it goes."""
    host.left_by_a_run(name="mine")
    spec = SPEC if change == "node image" else ClusterSpec.of_size("1.34", workers=1)
    host.docker.image_id = "sha256:two" if change == "node image" else host.docker.image_id
    assert not host.provider(OTHER, name="mine").create("mine", spec).reused
    assert (host.docker.clusters, host.created) == (["mine"], 2)


def test_a_cluster_of_the_users_name_stays_while_a_run_is_in_it(host: Host) -> None:
    """The error names the process."""
    host.left_by_a_run(name="mine")
    host.provider(OTHER, name="mine").create("mine", SPEC)
    host.docker.image_id = "sha256:two"
    with pytest.raises(ClusterError, match=f"in use by process {os.getppid()}"):
        host.provider(name="mine").create("mine", SPEC)
    assert (host.docker.clusters, host.created) == (["mine"], 1)


# -- packets for pods and Services that there are not


def test_nodes_of_others_images_are_told_to_keep_packets(host: Host) -> None:
    """The image that kind publishes lets them out."""
    host.provider().create("one", SPEC)
    assert host.docker.executed == [("one-control-plane", "sh")]


def test_our_own_image_keeps_them_itself(host: Host) -> None:
    """Nothing is to be done."""
    host.docker.labels = {LABEL_ARTIFACT: "node-1.34"}
    host.provider().create("one", SPEC)
    assert host.docker.executed == []


def test_a_network_that_the_user_installs_is_left_alone(host: Host) -> None:
    """Nobody knows its routes."""
    host.provider().create("one", ClusterSpec("1.34", extra_config={"networking": {"disableDefaultCNI": True}}))
    assert host.docker.executed == []


def test_a_node_that_cannot_keep_them_is_said(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """The cluster can be used all the same."""
    host.docker.exit_code = 127
    host.progress = LiveProgress(sys.stdout)
    host.provider().create("one", SPEC)
    assert "'one-control-plane' does not refuse packets for unknown pods and Services: iptables: not found" in (
        capsys.readouterr().out
    )


# -- the user's --kubeconfig


def test_the_cluster_is_written_to_the_users_kubeconfig(host: Host, tmp_path: Path) -> None:
    """The handle leads there, and so it does for the next run."""
    config = tmp_path / "config"
    name = host.left_by_a_run(kubeconfig=config)
    assert kubeconfig.context_names(kubeconfig.read(config)) == (context_name(name),)
    assert host.provider(OTHER, kubeconfig=config).create(name, SPEC).kubeconfig == config


def test_the_users_kubeconfig_is_of_the_first_cluster(host: Host, tmp_path: Path) -> None:
    """Another one of the run has its own file."""
    config = tmp_path / "config"
    provider = host.provider(kubeconfig=config)
    first = provider.create("one", SPEC)
    second = provider.create("two", SPEC)
    assert kubeconfig.context_names(kubeconfig.read(config)) == (context_name("one"),)
    assert (first.kubeconfig, second.kubeconfig) == (config, host.state_dir / "two" / "kubeconfig")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="an empty file"),
        pytest.param("{contexts: [{name: kind-one}], clusters: [], users: []}", id="the same cluster's, from before"),
    ],
)
def test_a_kubeconfig_that_is_nobodys_is_written_over(host: Host, tmp_path: Path, text: str) -> None:
    """Nothing of anybody's is lost."""
    config = tmp_path / "config"
    config.write_text(text, encoding="utf-8")
    host.provider(kubeconfig=config).create("one", SPEC)
    assert kubeconfig.select(kubeconfig.read(config), "kind-one", path=config).server == "http://127.0.0.1:1"


def test_a_kubeconfig_with_other_contexts_is_refused(host: Host, tmp_path: Path) -> None:
    """Before anything is made; the file stays as it is."""
    config = tmp_path / "config"
    config.write_text("{contexts: [{name: theirs}, {name: kind-one}], clusters: [], users: []}", encoding="utf-8")
    before = config.read_bytes()
    with pytest.raises(ClusterError, match="holds other contexts: theirs"):
        host.provider(kubeconfig=config).create("one", SPEC)
    assert (config.read_bytes(), host.created) == (before, 0)


# -- places that cannot be written


def test_a_kubeconfig_that_cannot_be_written(host: Host, tmp_path: Path) -> None:
    """The cluster that was made for it goes again, and the error names the option."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ClusterError, match=r"write the kubeconfig(?s:.*)--kubeconfig"):
        host.provider(kubeconfig=tmp_path / "file" / "config").create("one", SPEC)
    assert host.docker.clusters == []


def test_a_cache_that_cannot_be_written(host: Host) -> None:
    """Nothing is made, and the error names what else can be given."""
    host.state_dir.write_text("", encoding="utf-8")
    with pytest.raises(ClusterError, match=r"lock cluster 'one'(?s:.*)XDG_CACHE_HOME"):
        host.provider().create("one", SPEC)
    assert host.created == 0
