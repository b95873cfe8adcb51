"""The real runner with real, tiny programs; what it shares with the scripted one is in tests/contract."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from harness.naming import process_start_ticks
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import SubprocessRunner
from harness.wait import wait_until

RUNNER = SubprocessRunner()

# Starts a child that ignores SIGTERM, writes the child's pid and waits.
LEADER = """
import pathlib, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
child.stdout.readline()
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(str(child.pid))
path.with_suffix(".new").rename(path)
time.sleep(600)
"""


def python(source: str, *args: str, timeout_s: float = 60.0, **more: object) -> Command:
    """A command that runs `source` in this interpreter, without site-packages so that it starts quickly."""
    return Command((sys.executable, "-IS", "-c", source, *args), timeout_s=timeout_s, **more)  # type: ignore[arg-type] # test rows


def test_environment_is_a_copy_with_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are added and removed for the program alone."""
    monkeypatch.setenv("SEATRIAL_TEST_KEPT", "kept")
    monkeypatch.setenv("SEATRIAL_TEST_REMOVED", "there")
    before = dict(os.environ)
    source = "import os; print(sorted(item for item in os.environ.items() if item[0].startswith('SEATRIAL_TEST_')))"
    command = python(source, env={"SEATRIAL_TEST_ADDED": "added", "SEATRIAL_TEST_REMOVED": None})
    seen = RUNNER.run(command).stdout.strip()
    assert seen == "[('SEATRIAL_TEST_ADDED', 'added'), ('SEATRIAL_TEST_KEPT', 'kept')]"
    assert dict(os.environ) == before


def test_working_directory(tmp_path: Path) -> None:
    """The program runs where the command says."""
    assert RUNNER.run(python("import os; print(os.getcwd())", cwd=tmp_path)).stdout.strip() == str(tmp_path)


def test_working_directory_that_is_not_there(tmp_path: Path) -> None:
    """A program that cannot be started for want of its directory is an outcome, not a foreign exception."""
    outcome = RUNNER.run(python("", cwd=tmp_path / "nowhere"))
    assert outcome.not_found


def test_file_that_is_not_executable(tmp_path: Path) -> None:
    """A file without the executable bit is reported as such."""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    outcome = RUNNER.run(Command((str(script),)))
    assert (outcome.exit_code, outcome.not_found) == (127, True)
    assert outcome.stderr == f"{script}: Permission denied"


def test_arguments_are_not_read_by_a_shell() -> None:
    """What a shell would expand arrives as it is."""
    argument = "$HOME `id` ; *"
    assert RUNNER.run(python("import sys; print(sys.argv[1])", argument)).stdout == argument + "\n"


def test_output_that_is_no_text() -> None:
    """Bytes that are no UTF-8 are replaced, and do not end the run."""
    assert RUNNER.run(python("import sys; sys.stdout.buffer.write(b'a\\xff')")).stdout == "a\ufffd"


def test_output_larger_than_a_pipe_on_both_streams() -> None:
    """Neither stream blocks the other when both are full."""
    source = "import sys; sys.stderr.write('e' * 300000); sys.stdout.write('o' * 300000)"
    outcome = RUNNER.run(python(source))
    assert (len(outcome.stdout), len(outcome.stderr)) == (300000, 300000)


def test_input_that_is_not_read() -> None:
    """A program that ends without reading its large input is no error."""
    assert RUNNER.run(python("", stdin="x" * 1_000_000)).succeeded


def test_no_input_is_an_empty_one() -> None:
    """A program that asks on standard input gets an end of file instead of the user's terminal."""
    assert RUNNER.run(python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


def test_signal_is_a_negative_exit_code() -> None:
    """A program ended by a signal says which."""
    outcome = RUNNER.run(python("import os; os.kill(os.getpid(), 9)"))
    assert outcome.exit_code == -signal.SIGKILL
    assert not outcome.timed_out


def test_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    """Past its limit a program is stopped with its children, also those that do not hear SIGTERM."""
    pid_file = tmp_path / "child"
    outcome = RUNNER.run(python(LEADER, str(pid_file), timeout_s=5.0))
    assert outcome.timed_out
    assert not outcome.succeeded
    assert_gone(int(pid_file.read_text()))


def test_background_process_is_stopped_with_its_children(tmp_path: Path) -> None:
    """Stopping what runs beside the caller leaves nothing of it."""
    pid_file = tmp_path / "child"
    process = RUNNER.start(python(LEADER, str(pid_file)))
    try:
        wait_until("start the child", pid_file.exists, timeout_s=60)
        assert process.is_running()
    finally:
        exit_code = process.stop()
    assert exit_code == -signal.SIGTERM
    assert not process.is_running()
    assert_gone(int(pid_file.read_text()))


def test_stopping_twice_is_harmless() -> None:
    """A process that has ended is stopped without an error and keeps its exit code."""
    process = RUNNER.start(python("raise SystemExit(4)"))
    wait_until("end by itself", lambda: not process.is_running(), timeout_s=60)
    assert (process.stop(), process.stop()) == (4, 4)


def test_interrupt_ends_the_program(tmp_path: Path) -> None:
    """An exception in the waiting caller (Ctrl-C) passes on, and the program does not outlive it."""
    pid_file = tmp_path / "child"
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_until("start the child", pid_file.exists, timeout_s=60)
        signal.pthread_kill(main, signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        RUNNER.run(python(LEADER, str(pid_file)))
    helper.join()
    assert_gone(int(pid_file.read_text()))


def test_lines_arrive_while_the_program_runs(tmp_path: Path) -> None:
    """A line is handed on as soon as it is complete: here the program ends only because its line was answered."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines: list[str] = []

    def answer(line: str) -> None:
        lines.append(line)
        if line == "ready":
            pipe.write_text("go on")

    source = "import sys; print('ready', flush=True); print(open(sys.argv[1]).read())"
    outcome = RUNNER.run(python(source, str(pipe)), on_line=answer)
    assert outcome.succeeded
    assert lines == ["ready", "go on"]


def test_outcomes_are_reported(tmp_path: Path) -> None:
    """Whoever listens is told of every command, also of one that could not be started."""
    heard: list[Outcome] = []
    runner = SubprocessRunner(on_outcome=heard.append)
    first = runner.run(python("raise SystemExit(1)"))
    second = runner.run(Command((str(tmp_path / "nothing"),)))
    assert heard == [first, second]
    assert first.started_at > 0


def assert_gone(pid: int) -> None:
    """Fail unless process `pid` has ended; a zombie counts as ended, its parent may take its time."""

    def has_ended() -> bool:
        if process_start_ticks(pid) is None:
            return True
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_until(f"see process {pid} gone", has_ended, timeout_s=10)
