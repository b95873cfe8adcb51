"""When a cluster is usable: nodes Ready, default service account present, DNS answering."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat

from kubernetes import client

from harness.cluster.watching import Object, Objects, name_of, read_json, watch_until
from harness.errors import ClusterError
from harness.wait import Deadline, wait_until

# Runs a program in a node and returns (exit code, output).
NodeExec = Callable[[Sequence[str]], tuple[int, bytes]]
Hopeless = Callable[[], ClusterError | None]

# What every cluster's DNS knows: the API server's own Service.
DNS_PROBE_NAME = "kubernetes.default.svc.cluster.local"
_DNS_SERVICE = "kube-dns"
_TYPE_A = 1
_HINT = "the nodes' logs say why: journalctl of kubelet and containerd, and the pods of namespace kube-system"


def wait_until_usable(
    api: client.ApiClient,
    name: str,
    *,
    nodes: int,
    node_exec: NodeExec | None,
    deadline: Deadline,
    hopeless: Hopeless = lambda: None,
) -> tuple[str, ...]:
    """Wait until cluster `name` can be used; return its nodes' names.

    Args:
        api: client of the cluster.
        name: for messages.
        nodes: how many nodes it has.
        node_exec: runs a program in a node, to ask the cluster's DNS where a pod would ask it; ``None`` where nodes
            cannot be entered: then ready endpoints of the DNS Service have to do.
        deadline: when to give up.
        hopeless: returns an error once the cluster can never become usable.

    Raises:
        ClusterNotReadyError: it was not usable in time; says which part was not.
    """
    core, discovery = client.CoreV1Api(api), client.DiscoveryV1Api(api)
    wait = partial(watch_until, deadline=deadline, hopeless=hopeless, hint=_HINT)
    dns_pods = partial(core.list_namespaced_pod, "kube-system", label_selector=f"k8s-app={_DNS_SERVICE}")
    ready = wait(
        core.list_node,
        what=f"see every node of cluster '{name}' Ready",
        done=lambda found: len(found) >= nodes and all(map(node_is_ready, found.values())),
        describe=lambda found: describe_nodes(found, nodes),
    )
    wait(
        partial(core.list_namespaced_service_account, "default", field_selector="metadata.name=default"),
        what=f"see the default service account of cluster '{name}'",
        done=bool,
        describe=lambda _: "service account 'default' in namespace 'default' is not there",
    )
    wait(
        partial(
            discovery.list_namespaced_endpoint_slice,
            "kube-system",
            label_selector=f"kubernetes.io/service-name={_DNS_SERVICE}",
        ),
        what=f"see the DNS of cluster '{name}' ready",
        done=has_ready_endpoint,
        describe=lambda _: describe_pods(read_json(dns_pods)["items"]),
    )
    if node_exec is not None:
        _ask_dns(core, name, node_exec, deadline, hopeless)
    return tuple(sorted(ready))


def is_healthy(api: client.ApiClient, *, nodes: int) -> str:
    """Look once at a cluster used before; return what is wrong with it, or the empty string."""
    page = read_json(client.CoreV1Api(api).list_node, timeout_s=10)
    found = {name_of(item): item for item in page["items"]}
    if len(found) >= nodes and all(map(node_is_ready, found.values())):
        return ""
    return describe_nodes(found, nodes)


def node_is_ready(node: Object) -> bool:
    """Whether a Node object's Ready condition is true."""
    return _ready_condition(node).get("status") == "True"


def describe_nodes(found: Objects, wanted: int) -> str:
    """Say which nodes are missing or not Ready, and why."""
    lines = [
        f"node '{name}' is not Ready: {_ready_condition(node).get('message', 'no condition yet')}"
        for name, node in found.items()
        if not node_is_ready(node)
    ]
    if len(found) < wanted:
        lines.insert(0, f"{len(found)} of {wanted} nodes have joined")
    return "\n".join(lines) or "all nodes are Ready"


def _ready_condition(node: Object) -> Object:
    conditions: Sequence[Object] = node.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


def has_ready_endpoint(slices: Objects) -> bool:
    """Whether any endpoint of these EndpointSlices is ready to serve."""
    return any(
        endpoint.get("conditions", {}).get("ready")
        for item in slices.values()
        for endpoint in item.get("endpoints") or ()
    )


def describe_pods(pods: Sequence[Object]) -> str:
    """Say what these pods are waiting for."""
    lines = []
    for pod in pods:
        status = pod.get("status", {})
        waiting = [c["state"]["waiting"].get("reason", "") for c in _containers(status) if "waiting" in c["state"]]
        unmet = [c["message"] for c in status.get("conditions") or () if c["status"] == "False" and c.get("message")]
        lines.append(f"pod '{pod['metadata']['name']}' is {status.get('phase')}: {', '.join([*waiting, *unmet])}")
    return "\n".join(lines) or "there are no such pods"


def _containers(status: Object) -> Sequence[Object]:
    return status.get("containerStatuses") or ()


def dns_query(name: str, query_id: int) -> bytes:
    """Return a DNS query for the IPv4 address of `name`, as sent over TCP (RFC 1035 4.1, 4.2.2)."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    message = struct.pack(">HHHHHH", query_id, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">xHH", _TYPE_A, 1)
    return struct.pack(">H", len(message)) + message


def dns_answers(message: bytes, query_id: int) -> int:
    """Return how many answers a DNS message (without TCP's length) holds; 0 for an error or for another query."""
    if len(message) < 12:  # noqa: PLR2004 - RFC 1035's header
        return 0
    answered_id, flags, _, answers, _, _ = struct.unpack(">HHHHHH", message[:12])
    return int(answers) if answered_id == query_id and flags & 0x8000 and not flags & 0x000F else 0


def dns_script(server: str, query: bytes, *, limit_s: float) -> tuple[str, ...]:
    """Return a program for a node that sends `query` to `server` over TCP and prints the answer in hexadecimal."""
    script = (
        'exec 3<>"/dev/tcp/$1/53" && printf "%b" "$2" >&3 && set -- $(head -c 2 <&3 | od -An -tu1)'
        " && head -c $(( $1 * 256 + $2 )) <&3 | od -An -v -tx1"
    )
    escaped = "".join(f"\\x{byte:02x}" for byte in query)
    return ("timeout", f"{limit_s:g}", "bash", "-c", script, "dns-probe", server, escaped)


def _ask_dns(core: client.CoreV1Api, name: str, node_exec: NodeExec, deadline: Deadline, hopeless: Hopeless) -> None:
    """Ask the DNS Service's own address from a node: that goes through kube-proxy and the pod network as pods do."""
    server = read_json(core.read_namespaced_service, _DNS_SERVICE, "kube-system")["spec"]["clusterIP"]

    # A first packet sent before kube-proxy has written its rules is lost, and the kernel sends it again after a second
    # only: so the first tries are short.
    limits_s = chain((0.3, 0.3, 0.6), repeat(3.0))

    def probe() -> tuple[int, bytes]:
        query_id = secrets.randbelow(0x10000)
        exit_code, output = node_exec(dns_script(server, dns_query(DNS_PROBE_NAME, query_id), limit_s=next(limits_s)))
        try:
            message = bytes.fromhex(output.decode("ascii"))
        except ValueError:
            return 0, output
        return (dns_answers(message, query_id) if exit_code == 0 else 0), output

    # A DNS server cannot be watched, only asked.
    wait_until(
        f"have {DNS_PROBE_NAME} resolved by the DNS of cluster '{name}' at {server}",
        probe,
        done=lambda seen: seen[0] > 0,
        failed=lambda _: hopeless(),
        timeout_s=deadline.remaining_s(at_least=1.0),
        poll_interval_s=0.1,
        describe=lambda seen: seen[1].decode(errors="replace").strip() or "no answer",
        hint=_HINT,
        clock=deadline.clock,
    )


def server_version(api: client.ApiClient, *, timeout_s: float = 10.0) -> str:
    """Return the API server's version, e.g. ``v1.34.4``; raises what the client raises when it does not answer."""
    return str(read_json(client.VersionApi(api).get_code, timeout_s=timeout_s)["gitVersion"])
