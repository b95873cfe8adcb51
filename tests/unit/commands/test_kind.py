"""kind's arguments and what is read from its output."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands import kind
from harness.errors import ClusterError


def test_create_cluster_names_every_file_and_waits_for_nothing() -> None:
    """Seatrial waits itself, and a failed try is kept until its logs are."""
    argv = kind.create_cluster("demo", kubeconfig=Path("/s/kubeconfig"), config=Path("/s/kind.yaml"))
    assert " ".join(argv) == (
        "create cluster --name demo --kubeconfig /s/kubeconfig --config /s/kind.yaml --wait 0s --retain"
    )


def test_other_commands() -> None:
    """Each spells the flags of kind v0.32.0."""
    assert kind.export_logs("demo", Path("/l")) == ("export", "logs", "/l", "--name", "demo")
    assert kind.load_docker_image("demo", "a:1", "b:2") == ("load", "docker-image", "--name", "demo", "a:1", "b:2")
    assert kind.version() == ("version", "--quiet")
    assert kind.context_name("demo") == "kind-demo"


@pytest.mark.parametrize("name", ["a", "seatrial-1f2e3d4c", "v1.34", "a" * 46])
def test_good_names(name: str) -> None:
    """A good name is returned as it is."""
    assert kind.check_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "lower-case"),
        ("Demo", "lower-case"),
        ("-demo", "letter or digit"),
        ("demo_1", "lower-case"),
        ("demo\n", "lower-case"),
        ("a" * 47, "47 characters"),
    ],
)
def test_bad_names(name: str, why: str) -> None:
    """A name kind or the host name of a node would refuse is refused first, with the rule."""
    with pytest.raises(ClusterError, match=why):
        kind.check_name(name)


@pytest.mark.parametrize(
    ("stderr", "seen", "hint"),
    [
        pytest.param(
            'ERROR: failed to create cluster: command "docker run" failed with error: exit status 125\n'
            "Command Output: Bind for 127.0.0.1:80 failed: port is already allocated\n"
            "Stack Trace: \nsigs.k8s.io/kind/pkg/errors.WithStack\n",
            "Bind for 127.0.0.1:80 failed: port is already allocated",
            "another host port",
            id="a port in use",
        ),
        pytest.param(
            "Creating cluster ...\nERROR: failed to init node with kubeadm: exit status 1\nStack Trace: \nx\n",
            "ERROR: failed to init node with kubeadm: exit status 1",
            "",
            id="no command output",
        ),
        pytest.param("ERROR: x\nCommand Output: no space left on device", "no space left on device", "disk", id="disk"),
        pytest.param("something else", "something else", "", id="not kind's usual words"),
    ],
)
def test_explain_failure(stderr: str, seen: str, hint: str) -> None:
    """The reason is found in what kind prints, and known reasons come with a cure."""
    found, cure = kind.explain_failure(stderr)
    assert found == seen
    assert hint in cure
    assert bool(hint) == bool(cure)
