"""Argv of kind and the parsing of what it prints (checked against kind v0.32.0)."""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import ClusterError

# Label kind puts on every node container; its value is the cluster's name.
LABEL_CLUSTER = "io.x-k8s.kind.cluster"
# Label with the node's role: control-plane, worker or external-load-balancer.
LABEL_ROLE = "io.x-k8s.kind.role"
# kind makes its nodes on the Docker network named here instead of on "kind".
NETWORK_VARIABLE = "KIND_EXPERIMENTAL_DOCKER_NETWORK"

# Node containers are named CLUSTER-control-plane, CLUSTER-worker2, ..., and that name is the host name, at most 63
# characters; kind itself warns from 50 on.
NAME_MAX = 46
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def create_cluster(name: str, *, kubeconfig: Path, config: Path, retain: bool = True) -> tuple[str, ...]:
    """Create a cluster and return without waiting for its nodes; `retain` keeps the nodes of a failed try."""
    argv = ("create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--config", str(config))
    return (*argv, "--wait", "0s", *(("--retain",) if retain else ()))


def export_logs(name: str, directory: Path) -> tuple[str, ...]:
    """Write the nodes' logs below `directory`."""
    return ("export", "logs", str(directory), "--name", name)


def load_docker_image(name: str, *images: str) -> tuple[str, ...]:
    """Copy images from the engine to every node, whole."""
    return ("load", "docker-image", "--name", name, *images)


def version() -> tuple[str, ...]:
    """Print kind's version alone, e.g. ``0.32.0``."""
    return ("version", "--quiet")


def context_name(name: str) -> str:
    """Return the kubeconfig context kind writes for cluster `name`."""
    return f"kind-{name}"


def check_name(name: str) -> str:
    """Return `name` when kind takes it as a cluster name.

    Raises:
        ClusterError: it does not, or node names made from it would be too long for a host name.
    """
    problem = ""
    if not _NAME.fullmatch(name):
        problem = "it may hold lower-case letters, digits, '-' and '.', and starts and ends with a letter or digit"
    elif len(name) > NAME_MAX:
        problem = f"it has {len(name)} characters, nodes are named after it and {NAME_MAX} is the most that fits"
    if problem:
        raise ClusterError(f"name a kind cluster '{name}'", seen=problem, hint="choose another --cluster-name")
    return name


def explain_failure(stderr: str) -> tuple[str, str]:
    """Return what kind says went wrong, without its stack trace, and what to do about it (empty when unknown)."""
    text = stderr[stderr.find("ERROR:") :] if "ERROR:" in stderr else stderr
    text = text.partition("\nStack Trace:")[0]
    _, said, output = text.partition("Command Output:")
    seen = (output if said else text).strip()
    for pattern, hint in _HINTS:
        if re.search(pattern, seen):
            return seen, hint
    return seen, ""


_HINTS = (
    (
        r"port is already allocated|address already in use",
        "something else listens on that host port: stop it, or map another host port (0 takes a free one)",
    ),
    (r"no space left on device", "free some disk: `docker system df` and `seatrial supply prune` show where it went"),
    (r"(?i)pull access denied|manifest unknown|failed to pull image|No such image", "check the name of the node image"),
    (r"permission denied.*docker", "this user may not talk to the Docker engine"),
    (
        r"could not find a log line that matches",
        "the node did not start: its container log is among the node logs",
    ),
)
