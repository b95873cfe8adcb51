"""Keeps packets for unknown pods and Services on the nodes of images that do not do so themselves.

Seatrial's own node image does (docs/decisions/container-network.md); of kind's, a request to a pod that is gone falls
through to the default route, and whoever is outside may answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

# What the own image's pod-network does. kind writes the ranges into every node (checked against kind v0.32.0); of two
# stacks only the first is fenced. Running pods and other nodes have narrower routes; kube-proxy rewrites the address of
# a Service that there is before the filter table sees it.
_SCRIPT = r"""
set -e
setting() { awk -v key="$1:" '$1 == key { gsub(/"/, "", $2); sub(/,.*/, "", $2); print $2; exit }' /kind/kubeadm.conf; }
pods=$(setting podSubnet) services=$(setting serviceSubnet)
ip route replace unreachable "${pods}"
for chain in OUTPUT FORWARD; do
  set -- "${chain}" -d "${services}" -j REJECT --reject-with icmp-net-unreachable
  iptables -w -C "$@" 2>/dev/null || iptables -w -A "$@"
done
"""


def fence(node_exec: Callable[[Sequence[str]], tuple[int, bytes]]) -> str:
    """Have a node refuse what is meant for pods and Services that there are not; return why it could not, or nothing.

    Args:
        node_exec: runs a program in the node and returns its exit code and output.
    """
    exit_code, output = node_exec(("sh", "-c", _SCRIPT))
    return output.decode("utf-8", errors="replace").strip() or f"exit code {exit_code}" if exit_code else ""
