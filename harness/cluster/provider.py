"""The seam between a run and the clusters it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from harness.process.command import DEFAULT_TIMEOUT_S, Command
from harness.temporary import own_temporary_directory

Role = Literal["control-plane", "worker"]


@dataclass(frozen=True)
class PortMapping:
    """A port of a node published on the host.

    Args:
        container_port: port inside the node.
        host_port: port on the host, 0 for a free one.
        listen_address: host address.
        protocol: ``TCP``, ``UDP`` or ``SCTP``.
    """

    container_port: int
    host_port: int = 0
    listen_address: str = "127.0.0.1"
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


@dataclass(frozen=True)
class NodeSpec:
    """One node of a cluster.

    Args:
        role: ``control-plane`` or ``worker``.
        image: node image; ``None`` uses the cluster's.
        port_mappings: ports published on the host.
        labels: Kubernetes node labels.
    """

    role: Role = "control-plane"
    image: str | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster as declared: what makes two clusters interchangeable.

    Args:
        kubernetes: minor version, e.g. ``1.34``.
        nodes: the nodes, at least one control plane.
        load_balancer: whether Services of type LoadBalancer get an address.
        extra_config: merged into kind's Cluster config as it is (``kind.x-k8s.io/v1alpha4``).
    """

    kubernetes: str
    nodes: tuple[NodeSpec, ...] = (NodeSpec(),)
    load_balancer: bool = True
    extra_config: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_size(cls, kubernetes: str, *, workers: int = 0) -> ClusterSpec:
        """One control plane and `workers` workers."""
        return cls(kubernetes, (NodeSpec(), *(NodeSpec("worker") for _ in range(workers))))


@dataclass(frozen=True)
class ClusterHandle:
    """A usable cluster.

    Args:
        name: the cluster's name, e.g. ``seatrial-1f2e3d4c``.
        provider: ``kind`` or ``existing``.
        kubeconfig: a kubeconfig file of Seatrial's own, never the user's.
        context: the context inside it.
        kubectl: path of the kubectl to use with it.
        nodes: the node names.
        registry: ``HOST:PORT`` where the host pushes images for this cluster; ``None`` when there is none.
        reused: whether another run made it.
        kubernetes: the server's version, e.g. ``v1.34.4``.
    """

    name: str
    provider: str
    kubeconfig: Path
    context: str
    kubectl: Path
    nodes: tuple[str, ...] = ()
    registry: str | None = None
    reused: bool = False
    kubernetes: str = ""

    def environment(self) -> dict[str, str | None]:
        """Variables that point kubectl and helm at this cluster, per command: ``os.environ`` is never changed.

        Their discovery caches go beside the kubeconfig: the user's ``~/.kube`` stays as it is, and what another cluster
        once said at the same address is not believed.
        """
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.kubeconfig.parent / "cache")}

    def kubectl_command(self, *args: str, timeout_s: float = DEFAULT_TIMEOUT_S, stdin: str | None = None) -> Command:
        """Return a kubectl command against this cluster; `args` come from :mod:`harness.commands.kubectl`."""
        return Command(
            (str(self.kubectl), "--context", self.context, *args),
            env=self.environment(),
            timeout_s=timeout_s,
            stdin=stdin,
        )

    def api_client(self, *, patient: bool = True) -> Any:
        """Return a new ``kubernetes.client.ApiClient`` for this cluster; the caller closes it.

        A proxy named by the environment is not asked for an API server on this host's loopback interface: kubectl and
        helm do not ask it either (Go, ``net/http.ProxyFromEnvironment``), the client would.

        Args:
            patient: ask again up to three times when there is no answer, each time for the whole time limit of the
                request: an API server that was paused would take four times as long to be found out.
        """
        from kubernetes import client, config  # noqa: PLC0415 - heavy: only runs that use a cluster pay for it

        configuration = client.Configuration()
        config.load_kube_config(  # type: ignore[no-untyped-call] # the client has no types
            config_file=str(self.kubeconfig),
            context=self.context,
            client_configuration=configuration,
            temp_file_path=str(own_temporary_directory()),
        )
        if is_loopback(urlsplit(configuration.host).hostname or ""):
            configuration.proxy = None
        if not patient:
            configuration.retries = False
        return client.ApiClient(configuration)


def is_loopback(host: str) -> bool:
    """Whether `host` is this host's own loopback interface."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ClusterProvider(Protocol):
    """Makes clusters available to runs."""

    def create(self, name: str, spec: ClusterSpec) -> ClusterHandle:
        """Return a usable cluster of that name and declaration, an interchangeable kept one if there is one."""

    def delete(self, handle: ClusterHandle) -> None:
        """Remove the cluster and all that was made for it; nothing to do when it is gone or not ours."""

    def diagnose(self, handle: ClusterHandle) -> str:
        """Say what keeps the cluster from being used, as seen from outside it; empty when nothing does."""

    def collect_logs(self, handle: ClusterHandle, directory: Path) -> Sequence[Path]:
        """Write the nodes' logs below `directory`; return the files."""
