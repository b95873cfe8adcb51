"""pytest-kind's ``KindCluster`` on Seatrial's clusters: suites written for that plugin run unchanged.

Checked against pytest-kind 22.11.1. Nothing is downloaded, nothing is written below the working directory, and
forwarding a port takes no seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pykube
import yaml
from pytest_kind import KindCluster

from harness.cluster.credentials import credential_file
from harness.cluster.kind_config import API_VERSION
from harness.cluster.provider import ClusterHandle, ClusterProvider, ClusterSpec
from harness.errors import AccessError, ClusterError

_log = logging.getLogger(__name__)

# pytest-kind gives kubectl no time limit at all; ten minutes hide no working call and end one that hangs.
_KUBECTL_TIMEOUT_S = 600.0

_NAMESPACE_FLAGS = ("-n", "--namespace")


class Forward(Protocol):
    """Forwards a local port to a pod, Service or Deployment while a block runs."""

    def __call__(
        self,
        handle: ClusterHandle,
        target: str,
        *,
        namespace: str,
        remote_port: int,
        local_port: int | None = None,
    ) -> AbstractContextManager[int]:
        """Yield the local port."""


class SeatrialKindCluster(KindCluster):  # type: ignore[misc] # the base class has no types
    """A drop-in for ``pytest_kind.KindCluster``.

    Args:
        name: the cluster's name.
        provider: makes and removes the cluster.
        spec: the declaration, unless :meth:`create` is given a config file.
        kind_path: the kind in use.
        kubectl_path: the kubectl in use.
        load_image: makes an image present on all nodes.
        forward: forwards ports.
        image: the node image the user asked for.
        handle: the cluster, when it is there already.
    """

    def __init__(
        self,
        name: str,
        *,
        provider: ClusterProvider,
        spec: ClusterSpec,
        kind_path: Path,
        kubectl_path: Path,
        load_image: Callable[[ClusterHandle, str], object],
        forward: Forward,
        image: str | None = None,
        handle: ClusterHandle | None = None,
    ) -> None:
        # Not calling super().__init__(): it makes a directory below the working directory.
        self.name = name
        self.image = image
        self.kind_path = kind_path
        self.kubectl_path = kubectl_path
        self._provider = provider
        self._spec = spec
        self._load_image = load_image
        self._forward = forward
        self._handle = handle

    @property
    def handle(self) -> ClusterHandle:
        """The cluster, for everything Seatrial itself offers."""
        if self._handle is None:
            raise ClusterError(f"use cluster '{self.name}'", seen="it was not created", hint="call create() first")
        return self._handle

    @property
    def kubeconfig_path(self) -> Path:
        """The cluster's own kubeconfig."""
        return self.handle.kubeconfig

    @property
    def path(self) -> Path:
        """The directory of the kubeconfig."""
        return self.kubeconfig_path.parent

    @cached_property
    def api(self) -> pykube.HTTPClient:
        """A pykube client of the cluster."""
        config = pykube.KubeConfig.from_file(str(self.kubeconfig_path))
        # Left to itself, pykube-ng (23.6.0) writes the user's key to a file in the temporary directory that everybody
        # may read and nobody removes.
        for entry in config.doc["clusters"]:
            _name_files(entry["cluster"])
        for entry in config.doc["users"]:
            _name_files(entry["user"])
        return pykube.HTTPClient(config)

    def ensure_kind(self) -> None:
        """Nothing to do: kind is there, pytest-kind would download it."""

    def ensure_kubectl(self) -> None:
        """Nothing to do: kubectl is there, pytest-kind would download it."""

    def create(self, config_file: str | Path | None = None) -> None:
        """Create the cluster, or use the one of that name that is there.

        Args:
            config_file: a kind configuration; it takes the place of the declaration's nodes.
        """
        if self._handle is not None:
            return
        spec = self._spec if config_file is None else _declared_in(Path(config_file), self._spec)
        self._handle = self._provider.create(self.name, spec)

    def delete(self) -> None:
        """Delete the cluster."""
        if self._handle is None:
            return
        self._provider.delete(self._handle)
        self._handle = None
        self.__dict__.pop("api", None)

    def load_docker_image(self, docker_image: str) -> None:
        """Make an image of the Docker engine present on every node."""
        self._load_image(self.handle, docker_image)

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl and return its output; `kwargs` are those of ``subprocess.check_output``.

        The base class runs it, so that a suite that catches ``subprocess.CalledProcessError`` still catches it.
        """
        kwargs.setdefault("timeout", _KUBECTL_TIMEOUT_S)
        return str(super().kubectl(*args, **kwargs))

    @contextmanager
    def port_forward(
        self,
        service_or_pod_name: str,
        remote_port: int,
        *args: str,
        local_port: int | None = None,
        retries: int = 10,
    ) -> Iterator[int]:
        """Forward a local port while the block runs; yield it.

        Args:
            service_or_pod_name: ``pod/NAME``, ``service/NAME``, ``svc/NAME``, ``deployment/NAME``, or a pod's name.
            remote_port: port of the pod or Service.
            args: of kubectl's flags, the namespace's.
            local_port: port on this host; a free one by default.
            retries: kept for callers that give it: a free port needs no second try.
        """
        del retries
        namespace = namespace_in(args)
        with self._forward(
            self.handle,
            service_or_pod_name,
            namespace=namespace,
            remote_port=remote_port,
            local_port=local_port,
        ) as port:
            yield port


def _name_files(holder: dict[str, Any]) -> None:
    """Put the names of this process's own files in the place of certificates and keys."""
    for name in ("certificate-authority", "client-certificate", "client-key"):
        if (data := holder.pop(f"{name}-data", None)) is not None:
            holder[name] = str(credential_file(data))


def namespace_in(args: tuple[str, ...]) -> str:
    """Return the namespace that kubectl flags name, ``default`` without one.

    Raises:
        AccessError: other flags are there, which forwarding through the API knows nothing of.
    """
    namespace, rest = "default", list(args)
    while rest:
        flag, given, value = rest.pop(0).partition("=")
        if flag not in _NAMESPACE_FLAGS or not (given or rest):
            raise AccessError(
                f"forward a port with the kubectl arguments {' '.join(args)}",
                seen=f"'{flag}' is not understood",
                hint="only --namespace (-n) is; run `kubectl port-forward` yourself for anything else",
            )
        namespace = value if given else rest.pop(0)
    return namespace


def _declared_in(path: Path, spec: ClusterSpec) -> ClusterSpec:
    """Return `spec` with a kind configuration file's contents in place of its own nodes."""
    attempted = f"read the kind configuration '{path}'"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "correct the path, or who may read the file"
        raise ClusterError(attempted, seen=error.strerror or str(error), hint=hint) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        hint = "correct it there; `kind create cluster --config` takes the same file"
        raise ClusterError(attempted, seen=f"not YAML: {error}", hint=hint) from error
    if not isinstance(document, Mapping) or document.get("kind") != "Cluster":
        raise ClusterError(
            attempted,
            seen="it is not a document of kind 'Cluster'",
            hint=f"begin it with `kind: Cluster` and `apiVersion: {API_VERSION}`",
        )
    config = {key: value for key, value in document.items() if key not in {"kind", "apiVersion", "name"}}
    return replace(spec, nodes=() if config.get("nodes") else spec.nodes, extra_config=config)
