"""Running Bodywork's command line in a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.cluster.provider import ClusterHandle
from harness.deploy.bodywork_container import BodyworkContainer
from harness.errors import BodyworkError, CommandError, CommandTimeoutError, ProgramNotFoundError
from harness.testing import RecordingRunner

HANDLE = ClusterHandle("demo", "kind", Path("kubeconfig"), "kind-demo", Path("kubectl"))
USER = {"client-certificate-data": "Y2VydA==", "client-key-data": "a2V5"}


class Engine:
    """Where containers run."""

    def environment(self) -> Mapping[str, str | None]:
        """Say where."""
        return {"DOCKER_HOST": "unix:///engine.sock"}


def kubeconfig(user: Mapping[str, object]) -> str:
    """Return a kubeconfig as kubectl flattens it."""
    cluster = {"server": "https://127.0.0.1:34567", "certificate-authority-data": "Y2E="}
    return yaml.safe_dump(
        {"clusters": [{"name": "demo", "cluster": cluster}], "users": [{"name": "somebody", "user": user}]}
    )


@pytest.fixture
def runner() -> RecordingRunner:
    """A kubectl that knows the cluster's kubeconfig."""
    runner = RecordingRunner()
    runner.on("kubectl", "config", "view", stdout=kubeconfig(USER))
    return runner


@pytest.fixture
def container(runner: RecordingRunner) -> BodyworkContainer:
    """What is tested."""
    return BodyworkContainer(HANDLE, "o/core:1", Engine(), runner, {"seatrial.dev/run": "r"})


def test_it_runs_beside_the_cluster(container: BodyworkContainer, runner: RecordingRunner) -> None:
    """It is on the cluster's network, in the run's engine, labelled and limited; each line is passed on."""
    runner.on("docker", "run", stdout="one\ntwo\n")
    lines: list[str] = []
    outcome = container.run(("setup-namespace", "n"), timeout_s=5.0, on_line=lines.append)
    command = runner.commands[-1]
    assert outcome.stdout == "one\ntwo\n"
    assert lines == ["one", "two"]
    assert {"--rm", "--network=demo", "--label=seatrial.dev/run=r"} <= set(command.argv)
    assert command.argv[-4:] == (*command.argv[-4:-3], "bodywork", "setup-namespace", "n")
    assert (command.env, command.timeout_s) == ({"DOCKER_HOST": "unix:///engine.sock"}, 5.0)


def test_a_kind_cluster_is_reached_inside_its_network(container: BodyworkContainer, runner: RecordingRunner) -> None:
    """The kubeconfig comes on standard input, with an address that means something there; no argument holds a key."""
    runner.on("docker", "run")
    container.run(("cronjob", "display"), timeout_s=5.0)
    command = runner.commands[-1]
    sent = yaml.safe_load(command.stdin or "")
    assert sent["clusters"][0]["cluster"]["server"] == "https://demo-control-plane:6443"
    assert sent["users"][0]["user"] == USER
    assert USER["client-key-data"] not in " ".join(command.argv)


def test_a_cluster_of_others_is_reached_as_from_the_host(container: BodyworkContainer, runner: RecordingRunner) -> None:
    """Its kubeconfig is used as it is, on the host's network."""
    runner.on("docker", "run")
    replace(container, handle=replace(HANDLE, provider="existing")).run(("validate",), timeout_s=5.0)
    command = runner.commands[-1]
    assert "--network=host" in command.argv
    assert yaml.safe_load(command.stdin or "")["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:34567"


@pytest.mark.parametrize("field", ["exec", "auth-provider"])
def test_credentials_from_a_program_are_refused(field: str) -> None:
    """The program is the host's: in the container it is not there."""
    runner = RecordingRunner()
    runner.on("kubectl", "config", "view", stdout=kubeconfig({field: {"command": "login"}}))
    with pytest.raises(BodyworkError, match="'somebody' gets its credentials from a program"):
        BodyworkContainer(HANDLE, "o/core:1", Engine(), runner, {}).run(("validate",), timeout_s=5.0)


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        pytest.param({"exit_code": 125, "stderr": "no such image"}, CommandError, id="docker refuses"),
        pytest.param({"not_found": True, "exit_code": 127}, ProgramNotFoundError, id="there is no docker"),
        pytest.param({"timed_out": True, "exit_code": 143}, CommandTimeoutError, id="the limit passes"),
    ],
)
def test_what_kept_it_from_running_is_no_outcome(
    container: BodyworkContainer, runner: RecordingRunner, ending: Mapping[str, object], error: type[CommandError]
) -> None:
    """Bodywork's own failures are the caller's to judge; these are not Bodywork's."""
    runner.on("docker", "run", **ending)  # type: ignore[arg-type] # as the table has them
    with pytest.raises(error):
        container.run(("validate",), timeout_s=5.0)


def test_bodyworks_own_failure_is_an_outcome(container: BodyworkContainer, runner: RecordingRunner) -> None:
    """Its exit code says nothing by itself."""
    runner.on("docker", "run", exit_code=1, stderr="Traceback")
    assert container.run(("workflow",), timeout_s=5.0).exit_code == 1
