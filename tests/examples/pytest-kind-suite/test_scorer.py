"""End-to-end tests of the scoring service."""

from __future__ import annotations

import json
import socket
import subprocess

import pykube
import pytest
import requests


def test_node_is_ready(kind_cluster):
    """The API answers through pykube."""
    (node,) = pykube.Node.objects(kind_cluster.api)
    conditions = {one["type"]: one["status"] for one in node.obj["status"]["conditions"]}
    assert conditions["Ready"] == "True"


def test_kubeconfig_is_the_clusters_own(kind_cluster):
    """There is a file to hand to other tools."""
    assert kind_cluster.kubeconfig_path.exists()
    assert kind_cluster.kubectl("config", "current-context").strip() == f"kind-{kind_cluster.name}"


def test_pod_runs(scorer):
    """The image came from this host, not from a registry."""
    (pod,) = pykube.Pod.objects(scorer.api).filter(selector="app=scorer")
    assert pod.obj["status"]["phase"] == "Running"


def test_output_of_kubectl_is_text(scorer):
    """The output is returned, and arguments for the subprocess are passed on."""
    listed = json.loads(scorer.kubectl("get", "services", "-o", "json", timeout=30))
    assert "scorer" in [service["metadata"]["name"] for service in listed["items"]]


def test_failure_of_kubectl(kind_cluster):
    """A failing command is the subprocess module's error."""
    with pytest.raises(subprocess.CalledProcessError):
        kind_cluster.kubectl("get", "deployment", "no-such-thing", stderr=subprocess.DEVNULL)


def test_score(scorer_url):
    """The service gives back what it is sent."""
    answer = requests.post(f"{scorer_url}/score", json={"X": [1, 2]}, timeout=10)
    assert answer.status_code == 200
    assert answer.json() == {"score": [1, 2]}


def test_port_of_ones_choice(scorer, unused_port):
    """A Deployment's pod can be reached on a port that the test names."""
    with scorer.port_forward("deployment/scorer", 5000, "-n", "default", local_port=unused_port) as port:
        assert port == unused_port
        assert requests.post(f"http://127.0.0.1:{port}/score", json={"X": [3]}, timeout=10).ok


@pytest.fixture
def unused_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
