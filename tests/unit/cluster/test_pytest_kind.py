"""The drop-in for pytest-kind's cluster."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_kind import KindCluster

from harness.cluster.provider import ClusterHandle, ClusterSpec, NodeSpec
from harness.cluster.pytest_kind import SeatrialKindCluster, namespace_in
from harness.errors import AccessError, ClusterError


class Provider:
    """Hands out a handle and notes what it was asked for."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.asked: list[Any] = []

    def create(self, name: str, spec: ClusterSpec) -> ClusterHandle:
        """See the protocol."""
        self.asked.append(("create", name, spec))
        return ClusterHandle(name, "kind", self.kubeconfig, f"kind-{name}", Path("/bin/kubectl"))

    def delete(self, handle: ClusterHandle) -> None:
        """See the protocol."""
        self.asked.append(("delete", handle.name))

    def diagnose(self, handle: ClusterHandle) -> str:
        """See the protocol."""
        return ""

    def collect_logs(self, handle: ClusterHandle, directory: Path) -> tuple[Path, ...]:
        """See the protocol."""
        return ()


@contextmanager
def forward(
    handle: ClusterHandle, target: str, *, namespace: str, remote_port: int, local_port: int | None = None
) -> Iterator[int]:
    """Stand in for the access room."""
    assert (target, namespace, remote_port) == ("service/web", "shop", 80)
    yield local_port or 12345


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    """A provider that makes handles only."""
    return Provider(tmp_path / "state" / "kubeconfig")


def cluster(provider: Provider, **options: Any) -> SeatrialKindCluster:
    """Return the class under test."""
    options.setdefault("load_image", lambda handle, image: None)
    return SeatrialKindCluster(
        "demo",
        provider=provider,
        spec=ClusterSpec("1.34"),
        kind_path=Path("/bin/kind"),
        kubectl_path=Path("/bin/kubectl"),
        forward=forward,
        **options,
    )


def test_it_has_everything_the_base_class_has(provider: Provider) -> None:
    """A suite may use any public name of pytest-kind's class, with the same arguments."""
    made = cluster(provider)
    made.create()
    assert isinstance(made, KindCluster)
    for name, method in inspect.getmembers(KindCluster, inspect.isfunction):
        if not name.startswith("_"):
            ours = inspect.signature(getattr(SeatrialKindCluster, name)).parameters
            assert list(ours)[: len(inspect.signature(method).parameters)] == list(inspect.signature(method).parameters)
    for name in ("name", "image", "path", "kubeconfig_path", "kind_path", "kubectl_path"):
        assert hasattr(made, name)


def test_nothing_appears_in_the_working_directory(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest-kind makes .pytest-kind there; Seatrial does not."""
    monkeypatch.chdir(tmp_path)
    cluster(provider).create()
    assert list(tmp_path.iterdir()) == []


def test_it_is_created_once_and_can_be_created_again_after_deletion(provider: Provider) -> None:
    """As with pytest-kind, a second create uses what is there."""
    made = cluster(provider)
    made.create()
    made.create()
    made.delete()
    made.delete()
    made.create()
    assert [what for what, *_ in provider.asked] == ["create", "delete", "create"]


def test_before_it_is_created_there_is_nothing_to_use(provider: Provider) -> None:
    """The error says what to call."""
    with pytest.raises(ClusterError, match=r"create\(\)"):
        _ = cluster(provider).kubeconfig_path


def test_a_config_file_takes_the_place_of_the_nodes(provider: Provider, tmp_path: Path) -> None:
    """Kind's own file format is taken as kind takes it; its name is the cluster's business."""
    config = tmp_path / "kind.yaml"
    config.write_text("kind: Cluster\napiVersion: x\nname: other\nnodes: [{role: worker}]\n", encoding="utf-8")
    cluster(provider).create(config_file=str(config))
    assert provider.asked[0][2] == ClusterSpec("1.34", (), extra_config={"nodes": [{"role": "worker"}]})


def test_a_config_file_without_nodes_keeps_the_declared_ones(provider: Provider, tmp_path: Path) -> None:
    """Kind's default for no nodes is one control plane, the declaration's default as well."""
    config = tmp_path / "kind.yaml"
    config.write_text("kind: Cluster\nnetworking: {ipFamily: ipv4}\n", encoding="utf-8")
    cluster(provider).create(config)
    assert provider.asked[0][2].nodes == (NodeSpec(),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kind: [", "not YAML(?s:.*)correct it"),
        ("kind: Pod", "'Cluster'(?s:.*)begin it with `kind: Cluster`"),
        ("", "'Cluster'(?s:.*)begin it with `kind: Cluster`"),
        (None, "No such file(?s:.*)correct the path"),
    ],
)
def test_bad_config_files(provider: Provider, tmp_path: Path, text: str | None, why: str) -> None:
    """The file is named with what is wrong with it and what to do."""
    config = tmp_path / "kind.yaml"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    with pytest.raises(ClusterError, match=why):
        cluster(provider).create(config)


def test_images_are_loaded_by_the_collaborator(provider: Provider) -> None:
    """The name is passed on with the cluster."""
    loaded: list[tuple[str, str]] = []
    made = cluster(provider, load_image=lambda handle, image: loaded.append((handle.name, image)))
    made.create()
    made.load_docker_image("shop:1")
    assert loaded == [("demo", "shop:1")]


def test_port_forward_yields_the_local_port(provider: Provider) -> None:
    """The way pytest-kind's documentation calls it."""
    made = cluster(provider)
    made.create()
    with made.port_forward("service/web", 80, "-n", "shop", retries=3) as port:
        assert port == 12345
    with made.port_forward("service/web", 80, "--namespace=shop", local_port=8081) as port:
        assert port == 8081


@pytest.mark.parametrize(
    ("args", "namespace"), [((), "default"), (("-n", "a"), "a"), (("--namespace", "b"), "b"), (("-n=c",), "c")]
)
def test_namespace_flags(args: tuple[str, ...], namespace: str) -> None:
    """Every spelling kubectl takes."""
    assert namespace_in(args) == namespace


@pytest.mark.parametrize("args", [("--address", "0.0.0.0"), ("-n",), ("shop",)])
def test_other_flags_are_refused(args: tuple[str, ...]) -> None:
    """A flag that would be ignored is an error, not a surprise."""
    with pytest.raises(AccessError, match="not understood"):
        namespace_in(args)
