"""docker's command line: arguments."""

from __future__ import annotations

from harness.commands import docker


def test_a_container_from_its_start_to_its_end() -> None:
    """It is removed at its end, bears the run's labels, and its arguments stand behind the image."""
    args = docker.run("o/i:1", "-c", "true", network="demo", labels={"a": "b"}, entrypoint="sh")
    assert " ".join(args) == "run --rm --init --interactive --network=demo --label=a=b --entrypoint=sh o/i:1 -c true"


def test_the_images_own_program() -> None:
    """Nothing is said of what is not asked for."""
    assert docker.run("o/i:1", network="host", labels={}) == (
        "run",
        "--rm",
        "--init",
        "--interactive",
        "--network=host",
        "o/i:1",
    )
