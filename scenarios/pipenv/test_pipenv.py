"""The appendix: the sample app's environment installs from its lock file and answers outside a container."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.access.endpoint import Endpoint
from harness.process.command import Command
from harness.process.runner import Runner
from scenarios.conftest import Ask

APP = Path(__file__).parents[2] / "fixtures" / "apps" / "py-flask-ml-score-api"
INSTALL_TIMEOUT_S = 300

Pipenv = Callable[..., Command]


@pytest.fixture
def pipenv(tmp_path: Path) -> Pipenv:
    """`pipenv ...` in a copy of the app, with an environment of its own inside it."""
    app = tmp_path / "app"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    # A pipenv that is stopped in the middle leaves what it asked of pip.
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def command(*args: str, **env: str) -> Command:
        return Command(
            (sys.executable, "-m", "pipenv", *args),
            env={
                "PIPENV_VENV_IN_PROJECT": "1",
                "PIPENV_IGNORE_VIRTUALENVS": "1",
                "VIRTUAL_ENV": None,
                "TMPDIR": str(temporary),
                **env,
            },
            cwd=app,
            timeout_s=INSTALL_TIMEOUT_S,
        )

    return command


@pytest.fixture
def served(pipenv: Pipenv, runner: Runner) -> Iterator[Endpoint]:
    """The app installed from its lock file and started as a person starts it."""
    runner.run(pipenv("sync", "--python", sys.executable)).check()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    process = runner.start(pipenv("run", "python", "api.py", PORT=str(port)))
    yield Endpoint.from_url(f"http://127.0.0.1:{port}")
    process.stop()


def test_the_app_answers_outside_a_container(served: Endpoint, ask: Ask) -> None:
    """`pipenv sync` and `pipenv run python api.py` give the same answer as every container."""
    ask(served)


def test_a_lock_file_that_was_tampered_with_is_refused(pipenv: Pipenv, runner: Runner) -> None:
    """A package that is not the locked one is never installed: its hash does not match."""
    command = pipenv("sync", "--python", sys.executable)
    assert command.cwd is not None
    lock = command.cwd / "Pipfile.lock"
    lock.write_text(lock.read_text().replace("sha256:", "sha256:0000"))
    outcome = runner.run(command)
    assert not outcome.succeeded
    assert "hash" in (outcome.stderr + outcome.stdout).lower()
