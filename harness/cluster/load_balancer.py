"""Addresses for Services of type LoadBalancer on kind clusters: MetalLB, in layer 2 mode."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib import resources
from ipaddress import IPv4Network
from typing import Any

from kubernetes import client

from harness.cluster.containers import network_subnet
from harness.cluster.provider import ClusterHandle
from harness.cluster.readiness import describe_pods
from harness.cluster.watching import Objects, read_json, watch_until
from harness.commands import kubectl
from harness.engine.engine import Engine
from harness.errors import ClusterError
from harness.naming import LABEL_RECIPE
from harness.process.runner import Runner
from harness.progress import Progress
from harness.wait import Deadline

NAMESPACE = "metallb-system"
_NAME = "seatrial"
_GROUP, _VERSION = "metallb.io", "v1beta1"

# Enough for any test, and far from the container addresses, which the engine hands out from the low end.
_POOL_SIZE = 240

# Nodes with this label do not announce addresses; kubeadm puts it on control planes.
_EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"

_USUAL_S = 5.0

LoadImage = Callable[[ClusterHandle, str], object]


class MetalLB:
    """Installs MetalLB into kind clusters, once each.

    Args:
        engine: the engine the nodes live in.
        runner: runs kubectl.
        controller_image: returns the reference of the controller's image.
        speaker_image: returns the reference of the speaker's image.
        load_image: makes an image present on all nodes of a cluster.
        progress: shows long steps.
        timeout_s: limit until it serves.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        runner: Runner,
        controller_image: Callable[[], str],
        speaker_image: Callable[[], str],
        load_image: LoadImage,
        progress: Progress,
        timeout_s: float = 120.0,
    ) -> None:
        self._engine = engine
        self._runner = runner
        self._controller_image = controller_image
        self._speaker_image = speaker_image
        self._load_image = load_image
        self._progress = progress
        self._timeout_s = timeout_s

    def ensure(self, handle: ClusterHandle) -> None:
        """Make Services of type LoadBalancer get addresses that the host reaches.

        Nothing to do on clusters that Seatrial did not make (their cloud hands out addresses) and where it is
        installed already.

        Raises:
            ClusterNotReadyError: it was installed and did not become ready in time.
            CommandError: the cluster refused one of its objects.
        """
        if handle.provider != "kind":
            return
        controller, speaker = self._controller_image(), self._speaker_image()
        pool = self._pool(handle)
        manifests = _manifests(controller, speaker)
        recipe = hashlib.sha256(f"{manifests}{pool}".encode()).hexdigest()[:16]
        with closing(handle.api_client()) as api:
            if _installed_recipe(api) == recipe:
                self._wait_until_ready(api, handle, Deadline(self._timeout_s))
                return
            with self._progress.step(f"install the load balancer into cluster '{handle.name}'", usual_s=_USUAL_S):
                self._install(api, handle, images=(controller, speaker), manifests=manifests, pool=pool)
                # Last: an installation that was interrupted is done again.
                _mark(api, recipe)

    def _pool(self, handle: ClusterHandle) -> str:
        with closing(self._engine.client()) as docker_client:
            return address_pool(network_subnet(docker_client, handle.name))

    def _install(
        self, api: client.ApiClient, handle: ClusterHandle, *, images: tuple[str, str], manifests: str, pool: str
    ) -> None:
        deadline = Deadline(self._timeout_s)
        for image in images:
            self._load_image(handle, image)
        command = handle.kubectl_command(
            *kubectl.apply(server_side=True), stdin=manifests, timeout_s=deadline.remaining_s()
        )
        self._runner.run(command).check(hint="the load balancer's own objects were refused by the cluster")
        _include_a_node(client.CoreV1Api(api))
        watch_until(
            client.ApiextensionsV1Api(api).list_custom_resource_definition,
            what=f"see MetalLB's resource definitions served by cluster '{handle.name}'",
            done=lambda found: bool(_of_group(found)) and not _unestablished(found),
            describe=lambda found: f"not yet: {', '.join(_unestablished(found))}",
            deadline=deadline,
        )
        _apply_pool(api, pool)
        self._wait_until_ready(api, handle, deadline)

    def _wait_until_ready(self, api: client.ApiClient, handle: ClusterHandle, deadline: Deadline) -> None:
        core = client.CoreV1Api(api)
        pods = partial(core.list_namespaced_pod, NAMESPACE, label_selector="app=metallb")
        watch_until(
            pods,
            what=f"see the load balancer of cluster '{handle.name}' ready",
            # One controller and a speaker per node.
            done=lambda found: len(found) > len(handle.nodes) and all(map(_pod_is_ready, found.values())),
            describe=lambda found: describe_pods(tuple(found.values())),
            deadline=deadline,
            hint=f"`kubectl -n {NAMESPACE} describe pods` says more",
        )


def address_pool(subnet: IPv4Network) -> str:
    """Return ``FIRST-LAST``: addresses at the high end of a Docker network, away from the containers'.

    >>> address_pool(IPv4Network("172.18.0.0/16"))
    '172.18.255.15-172.18.255.254'
    """
    size = min(_POOL_SIZE, subnet.num_addresses // 4)
    if size < 1:
        raise ClusterError(
            f"take load balancer addresses from the network {subnet}",
            seen=f"it has {subnet.num_addresses} addresses in all",
            hint="give the engine larger default-address-pools",
        )
    # The last address of all is the broadcast address.
    last = subnet.broadcast_address - 1
    return f"{last - (size - 1)}-{last}"


def _manifests(controller_image: str, speaker_image: str) -> str:
    """Return MetalLB's definitions and workloads as one YAML stream."""
    data = resources.files("harness.cluster") / "metallb"
    crds, install = ((data / name).read_text(encoding="utf-8") for name in ("crds.yaml", "install.yaml"))
    install = install.replace("image: CONTROLLER_IMAGE", f"image: {controller_image}")
    return f"{crds}\n---\n{install.replace('image: SPEAKER_IMAGE', f'image: {speaker_image}')}"


def _of_group(definitions: Objects) -> list[Any]:
    return [definition for definition in definitions.values() if definition["spec"]["group"] == _GROUP]


def _unestablished(definitions: Objects) -> list[str]:
    return [d["metadata"]["name"] for d in _of_group(definitions) if not _is_established(d)]


def _is_established(definition: Any) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _pod_is_ready(pod: Any) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _installed_recipe(api: client.ApiClient) -> str:
    found = read_json(partial(client.CoreV1Api(api).list_namespace, field_selector=f"metadata.name={NAMESPACE}"))
    return "".join((item["metadata"].get("annotations") or {}).get(LABEL_RECIPE, "") for item in found["items"])


def _mark(api: client.ApiClient, recipe: str) -> None:
    client.CoreV1Api(api).patch_namespace(NAMESPACE, {"metadata": {"annotations": {LABEL_RECIPE: recipe}}})


def _include_a_node(core: client.CoreV1Api) -> None:
    """Let control planes announce where there are no other nodes."""
    nodes = read_json(core.list_node)["items"]
    if all(_EXCLUDED in node["metadata"]["labels"] for node in nodes):
        for node in nodes:
            core.patch_node(node["metadata"]["name"], {"metadata": {"labels": {_EXCLUDED: None}}})


def _apply_pool(api: client.ApiClient, pool: str) -> None:
    """Declare the addresses and that every node may announce them."""
    custom = client.CustomObjectsApi(api)
    bodies = (
        ("ipaddresspools", "IPAddressPool", {"addresses": [pool]}),
        ("l2advertisements", "L2Advertisement", {"ipAddressPools": [_NAME]}),
    )
    for plural, kind, spec in bodies:
        body = {"apiVersion": f"{_GROUP}/{_VERSION}", "kind": kind, "metadata": {"name": _NAME}, "spec": spec}
        custom.patch_namespaced_custom_object(
            _GROUP,
            _VERSION,
            NAMESPACE,
            plural,
            _NAME,
            body,
            field_manager=_NAME,
            force=True,
            _content_type="application/apply-patch+yaml",
        )
