"""The load balancer's addresses and manifests."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
import yaml

from harness.cluster.load_balancer import _manifests, address_pool
from harness.errors import ClusterError


@pytest.mark.parametrize(
    ("subnet", "pool"),
    [
        ("172.18.0.0/16", "172.18.255.15-172.18.255.254"),
        ("192.168.16.0/20", "192.168.31.15-192.168.31.254"),
        ("10.0.5.0/24", "10.0.5.191-10.0.5.254"),
        ("10.0.5.0/28", "10.0.5.11-10.0.5.14"),
    ],
)
def test_the_pool_is_the_high_end_of_the_network(subnet: str, pool: str) -> None:
    """Containers get addresses from the low end: at least three quarters of a small network stay theirs."""
    assert address_pool(IPv4Network(subnet)) == pool
    first, last = (IPv4Address(address) for address in pool.split("-"))
    assert first in IPv4Network(subnet)
    assert last < IPv4Network(subnet).broadcast_address


def test_a_network_without_room_is_refused() -> None:
    """Two addresses leave none to give away."""
    with pytest.raises(ClusterError, match="2 addresses"):
        address_pool(IPv4Network("10.0.0.0/31"))


def test_the_manifests_name_the_images_given() -> None:
    """Definitions and workloads are one sound YAML stream with no placeholder left."""
    text = _manifests("c:1", "s:2")
    documents = [document for document in yaml.safe_load_all(text) if document]
    workloads = {d["kind"]: d for d in documents if d["kind"] in {"Deployment", "DaemonSet"}}
    images = {kind: d["spec"]["template"]["spec"]["containers"][0]["image"] for kind, d in workloads.items()}
    assert images == {"Deployment": "c:1", "DaemonSet": "s:2"}
    assert "_IMAGE" not in text.partition("apiVersion: v1\nkind: Namespace")[2]
    assert sum(d["kind"] == "CustomResourceDefinition" for d in documents) == 7
