"""What is read from nodes, endpoints, pods and DNS messages."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from harness.cluster.namespace import describe_blockers
from harness.cluster.readiness import (
    describe_nodes,
    describe_pods,
    dns_answers,
    dns_query,
    dns_script,
    has_ready_endpoint,
    node_is_ready,
)


def node(status: str | None, message: str = "") -> dict[str, Any]:
    """A Node object with that Ready condition, none for ``None``."""
    conditions = [] if status is None else [{"type": "Ready", "status": status, "message": message}]
    return {"metadata": {"name": "n"}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("status", "ready"), [("True", True), ("False", False), ("Unknown", False), (None, False)], ids=str
)
def test_node_is_ready(status: str | None, ready: bool) -> None:
    """Only a Ready condition that is true makes a node ready; Unknown means nobody has heard of it."""
    assert node_is_ready(node(status)) is ready


def test_unready_nodes_are_named_with_their_reason() -> None:
    """The message tells which node, why, and whether some have not come at all."""
    text = describe_nodes({"a": node("False", "cni plugin not initialized"), "b": node("True")}, 3)
    assert text == "2 of 3 nodes have joined\nnode 'a' is not Ready: cni plugin not initialized"


@pytest.mark.parametrize(
    ("endpoints", "ready"),
    [
        pytest.param(None, False, id="none yet"),
        pytest.param([{"conditions": {"ready": False}}], False, id="one that is not ready"),
        pytest.param([{"conditions": {"ready": False}}, {"conditions": {"ready": True}}], True, id="one of two"),
    ],
)
def test_has_ready_endpoint(endpoints: list[dict[str, Any]] | None, ready: bool) -> None:
    """One endpoint that serves is enough."""
    assert has_ready_endpoint({"s": {"endpoints": endpoints}}) is ready


def test_pods_say_what_they_wait_for() -> None:
    """Kubernetes' own words: the container's reason and the conditions that do not hold."""
    pod = {
        "metadata": {"name": "coredns-1"},
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}, {"state": {"running": {}}}],
            "conditions": [{"status": "False", "message": "0/1 nodes are available"}, {"status": "True"}],
        },
    }
    assert describe_pods([pod]) == "pod 'coredns-1' is Pending: ImagePullBackOff, 0/1 nodes are available"


def test_a_query_is_what_rfc_1035_says() -> None:
    """Length, header with one question and recursion desired, the labels, type A, class IN."""
    assert dns_query("a.bc", 0x0102) == bytes.fromhex("001601020100000100000000000001610262630000010001")


@pytest.mark.parametrize(
    ("header", "answers"),
    [
        pytest.param((7, 0x8580, 1, 2, 0, 0), 2, id="an answer"),
        pytest.param((7, 0x8583, 1, 0, 0, 0), 0, id="no such name"),
        pytest.param((7, 0x8182, 1, 1, 0, 0), 0, id="server failure"),
        pytest.param((7, 0x0580, 1, 1, 0, 0), 0, id="a query come back"),
        pytest.param((8, 0x8580, 1, 1, 0, 0), 0, id="an answer to somebody else"),
    ],
)
def test_dns_answers(header: tuple[int, ...], answers: int) -> None:
    """Only an answer to this very query that is no error counts."""
    assert dns_answers(struct.pack(">HHHHHH", *header), 7) == answers


def test_a_cut_dns_message_is_no_answer() -> None:
    """Fewer bytes than a header hold nothing."""
    assert dns_answers(b"\x00\x07", 7) == 0


def test_the_probe_is_a_program_with_a_time_limit() -> None:
    """The query goes in as an argument, escaped: no byte of it is read by the shell."""
    argv = dns_script("10.96.0.10", b"\x00'\"$", limit_s=0.3)
    assert argv[:4] == ("timeout", "0.3", "bash", "-c")
    assert argv[-2:] == ("10.96.0.10", r"\x00\x27\x22\x24")


def test_what_blocks_a_namespace() -> None:
    """Kubernetes says what is left and which finalizers hold it; conditions that do not hold say nothing."""
    conditions = [
        {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: pods. has 1"},
        {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "example.com/hold in 1 resource"},
        {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all good"},
    ]
    text = describe_blockers({"n": {"status": {"conditions": conditions}}})
    assert text == "Some resources are remaining: pods. has 1\nexample.com/hold in 1 resource"
    assert describe_blockers({"n": {}}) == "it is still being removed"
