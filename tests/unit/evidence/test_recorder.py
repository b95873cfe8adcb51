"""What happens is taken down as it happens."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from harness.errors import ClusterError
from harness.evidence.model import ChosenSetting, Exchange, Failure
from harness.evidence.recorder import Recorder
from harness.naming import Run
from harness.process.command import Command
from harness.supply.artifact import Provenance
from harness.testing import ManualClock, RecordingRunner

RUN = Run("1f2e3d4c", 42, 1000, 1_700_000_000)
KIND = Provenance("kind", "v0.32.0", "build", "sigs.k8s.io/kind", "sha256:1", "r1", 1.0, "built from its Go module")


@pytest.fixture
def clock() -> ManualClock:
    """A clock that is moved by hand."""
    return ManualClock()


@pytest.fixture
def recorder(clock: ManualClock) -> Recorder:
    """A recorder whose clocks are moved by hand."""
    return Recorder(RUN, clock=clock, wall_clock=lambda: 1_700_000_000 + clock.now())


def test_step_is_timed(recorder: Recorder, clock: ManualClock) -> None:
    """A step knows its phase, its start, how long it took and that it went well."""
    clock.advance(2.0)
    with recorder.step("create cluster 'demo'", phase="cluster"):
        clock.advance(22.0)
    (step,) = recorder.evidence().steps
    assert (step.name, step.phase, step.outcome) == ("create cluster 'demo'", "cluster", "passed")
    assert (step.started_at, step.duration_s) == (1_700_000_002.0, 22.0)
    assert recorder.evidence().duration_s == 24.0


def test_failed_step_keeps_its_reason(recorder: Recorder) -> None:
    """The error passes on unchanged, and the step says what it was."""
    error = ClusterError("create cluster 'demo'", seen="no space left")
    with pytest.raises(ClusterError) as caught, recorder.step("create", phase="cluster"):
        raise error
    assert caught.value is error
    (step,) = recorder.evidence().steps
    assert step.outcome == "failed"
    assert "no space left" in step.seen


def test_interrupted_step_is_not_a_failed_one(recorder: Recorder) -> None:
    """Ctrl-C is told apart from a broken platform."""
    with pytest.raises(KeyboardInterrupt), recorder.step("create", phase="cluster"):
        raise KeyboardInterrupt
    assert recorder.evidence().steps[0].outcome == "interrupted"


def test_commands_belong_to_the_step_they_run_in(recorder: Recorder) -> None:
    """A command is a step too: its argv can be pasted, its parent and phase are those of the step around it."""
    runner = RecordingRunner(on_outcome=recorder.on_outcome)
    runner.on("kubectl", duration_s=0.5)
    with recorder.step("roll out 'a'", phase="deploy"):
        runner.run(Command(("/bin/kubectl", "--context=demo", "rollout", "status", "deployment/a")))
    outer, command = recorder.evidence().steps
    assert (command.name, command.argv) == (
        "kubectl rollout status",
        "/bin/kubectl --context=demo rollout status deployment/a",
    )
    assert (command.parent, command.phase, command.duration_s) == (outer.number, "deploy", 0.5)
    assert (command.exit_code, command.outcome) == (0, "passed")


def test_failed_command_keeps_the_end_of_its_output(recorder: Recorder) -> None:
    """What a failed program said is kept; what a successful one said is not."""
    runner = RecordingRunner(on_outcome=recorder.on_outcome)
    runner.on("helm", "install", stderr="it broke\n", exit_code=1)
    runner.on("helm", stdout="much")
    runner.run(Command(("helm", "install", "a")))
    runner.run(Command(("helm", "list")))
    failed, passed = recorder.evidence().steps
    assert (failed.outcome, failed.exit_code, failed.seen, failed.phase) == ("failed", 1, "it broke", None)
    assert (passed.outcome, passed.seen) == ("passed", "")


def test_nested_steps_and_what_comes_after(recorder: Recorder) -> None:
    """A step inside another is its child; after a step, failed or not, its parent is the surroundings again."""
    with recorder.step("outer", phase="cluster"):
        with pytest.raises(ClusterError), recorder.step("inner", phase="supply"):
            raise ClusterError("x")
        with recorder.step("second", phase="cluster"):
            pass
    with recorder.step("after", phase="deploy"):
        pass
    assert [(step.name, step.parent) for step in recorder.evidence().steps] == [
        ("outer", None),
        ("inner", 1),
        ("second", 1),
        ("after", None),
    ]


def test_threads_do_not_adopt_each_others_steps(recorder: Recorder) -> None:
    """Work that overlaps in another thread is not a child of what happens to run in this one."""

    def build() -> None:
        with recorder.step("build image", phase="images"):
            pass

    with recorder.step("create cluster", phase="cluster"):
        helper = threading.Thread(target=build)
        helper.start()
        helper.join()
    assert [step.parent for step in recorder.evidence().steps] == [None, None]


def test_many_threads_lose_nothing(recorder: Recorder) -> None:
    """Every step of every thread arrives, under a number of its own."""

    def work() -> None:
        for _ in range(50):
            with recorder.step("x", phase="scoring"):
                pass

    helpers = [threading.Thread(target=work) for _ in range(8)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join()
    assert [step.number for step in recorder.evidence().steps] == list(range(1, 401))


def test_late_secret_is_masked_in_what_was_told_before(recorder: Recorder) -> None:
    """A secret may become known after it was written down, and is masked everywhere all the same."""
    runner = RecordingRunner(on_outcome=recorder.on_outcome)
    runner.on(stderr="bad key hunter2", exit_code=1)
    runner.run(Command(("helm", "--set", "key=hunter2")))
    with recorder.step("use hunter2", phase="deploy"):
        pass
    recorder.exchange(Exchange("curl --data hunter2", 1.0, 0.1, status=200))
    recorder.failure(Failure("test_a", "call", "expected hunter2"))
    recorder.note("saw hunter2")
    recorder.artifact(replace(KIND, origin="https://hunter2"))
    recorder.settings({"supply": ChosenSetting("a=hunter2", "command line")})
    recorder.keep_secret("hunter2")
    assert "hunter2" not in str(recorder.evidence())


def test_secrets_of_commands_are_masked_elsewhere(recorder: Recorder) -> None:
    """What a command names as secret is masked in other commands' output."""
    runner = RecordingRunner(on_outcome=recorder.on_outcome)
    runner.on(stderr="hunter2", exit_code=1)
    runner.run(Command(("helm", "a"), secrets=("hunter2",)))
    assert recorder.redact("x hunter2") == "x ****"


def test_secret_that_holds_another(recorder: Recorder) -> None:
    """The longer secret is masked as a whole."""
    recorder.keep_secret("abc", "abc-def")
    assert recorder.redact("abc-def") == "****"


def test_artifacts_versions_and_settings(recorder: Recorder) -> None:
    """Where things came from is kept once per name, the last word counting."""
    recorder.artifact(KIND)
    recorder.artifact(replace(KIND, source="cache"))
    recorder.version("docker", "20.10.24")
    recorder.settings({"kubernetes": ChosenSetting("1.34", "default")})
    evidence = recorder.evidence()
    assert [one.source for one in evidence.artifacts] == ["cache"]
    assert evidence.versions == {"docker": "20.10.24"}
    assert evidence.settings["kubernetes"].origin == "default"


def test_run_without_seatrial_is_empty(recorder: Recorder) -> None:
    """Settings and versions alone are no evidence of anything having been done."""
    recorder.settings({"kubernetes": ChosenSetting("1.34", "default")})
    assert recorder.evidence().is_empty
    recorder.note("something")
    assert not recorder.evidence().is_empty
