"""Keeps packets for unknown pods and Services on the nodes of images that do not do so themselves.

Seatrial's own node image does (docs/decisions/container-network.md); of kind's, a request to a pod that is gone falls
through to the default route, and whoever is outside may answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

# What the own image's pod-network does, and why it does it so. kind writes the ranges into every node (checked against
# kind v0.32.0); of two stacks only the first is fenced.
_SCRIPT = r"""
set -e
setting() { awk -v key="$1:" '$1 == key { gsub(/"/, "", $2); sub(/,.*/, "", $2); print $2; exit }' /kind/kubeadm.conf; }
rule() { iptables -w -C "$@" 2>/dev/null || iptables -w -A "$@"; }
refuse() {
  chain=$1 unreachable=$2
  shift 2
  rule "${chain}" "$@" -p tcp -j REJECT --reject-with tcp-reset
  rule "${chain}" "$@" -j REJECT --reject-with "${unreachable}"
}
pods=$(setting podSubnet) services=$(setting serviceSubnet)
ip link show no-such-pod >/dev/null 2>&1 || ip link add no-such-pod type bridge
ip link set no-such-pod arp off up
ip route replace "${pods}" dev no-such-pod
for each in OUTPUT FORWARD; do
  refuse "${each}" icmp-host-unreachable -o no-such-pod
  refuse "${each}" icmp-net-unreachable -d "${services}"
done
"""


def fence(node_exec: Callable[[Sequence[str]], tuple[int, bytes]]) -> str:
    """Have a node refuse what is meant for pods and Services that there are not; return why it could not, or nothing.

    Args:
        node_exec: runs a program in the node and returns its exit code and output.
    """
    exit_code, output = node_exec(("sh", "-c", _SCRIPT))
    return output.decode("utf-8", errors="replace").strip() or f"exit code {exit_code}" if exit_code else ""
