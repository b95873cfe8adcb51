"""The `seatrial` command: what it takes, how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from harness import cli
from harness.naming import Run
from harness.settings.resolve import Sources

ENGINE = "unix:///nowhere/docker.sock"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, no engine, and no variable that means something to the command."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SEATRIAL_DOCKER_HOST", ENGINE)
    monkeypatch.setenv("SEATRIAL_ENGINE_STATE_DIR", str(tmp_path / "state" / "engine"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the distribution's."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"seatrial {version('seatrial')}\n"


@pytest.mark.parametrize("argv", [[], ["supply"], ["supply", "get"], ["engine"], ["engine", "down"]], ids=" ".join)
def test_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every level explains itself, the options included."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*argv, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: seatrial {' '.join(argv)}".rstrip())
    assert ("--docker-host" in text) == bool(argv)


@pytest.mark.parametrize(
    "argv",
    [[], ["sail"], ["supply"], ["supply", "burn"], ["engine", "up", "--sideways"], ["supply", "list", "kind"]],
    ids=["nothing", "unknown command", "no verb", "unknown verb", "unknown option", "one name too many"],
)
def test_command_lines_that_are_wrong(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """They end with 2 and show the usage."""
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert "usage: seatrial" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["engine", "--docker-host", "unix:///a", "status"], {"docker-host": "unix:///a"}),
        (["engine", "status", "--docker-host", "unix:///a"], {"docker-host": "unix:///a"}),
        (["engine", "--docker-host", "unix:///a", "status", "--docker-host=unix:///b"], {"docker-host": "unix:///b"}),
        (["supply", "get", "kind", "--offline"], {"offline": True}),
        (["supply", "--offline", "get", "kind", "--no-build"], {"offline": True, "no-build": True}),
        (["supply", "--supply", "a=1", "get", "--supply", "b=2", "kind"], {"supply": ["a=1", "b=2"]}),
    ],
    ids=["before the verb", "after it", "the last one counts", "after a name", "on both sides", "all are collected"],
)
def test_options_before_and_after_the_verb(argv: list[str], expected: dict[str, object]) -> None:
    """An option may stand on either side of the verb, and one that is not given leaves the other side alone."""
    found = Sources.from_argparse(cli.build_parser().parse_args(argv), {}).command_line
    assert {name: value for name, value in found.items() if value is not None} == expected


def test_key_of_what_is_supplied(capsys: pytest.CaptureFixture[str]) -> None:
    """The key is one word, the same each time, and asks for no engine and no network."""
    printed = [(cli.main(["supply", "key", "--offline"]), capsys.readouterr().out) for _ in range(2)]
    assert printed[0] == printed[1]
    assert printed[0][0] == 0
    assert re.fullmatch(r"[0-9a-f]{12}\n", printed[0][1])


WITHOUT_CLIENTS = """
import sys
from harness import cli
cli.main(["charts", "check", "--offline", "--no-build"])
print([name for name in ("docker", "kubernetes", "harness.assembly") if name in sys.modules])
assert "harness.supply.assembly" in sys.modules
"""


def test_charts_load_no_client(tmp_path: Path) -> None:
    """The clients of Docker and Kubernetes would take half of the time that checks of a chart take."""
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_CLIENTS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


def test_parsers_share_nothing_between_calls() -> None:
    """What one command line collected is not in the next."""
    for _ in range(2):
        found = Sources.from_argparse(cli.build_parser().parse_args(["supply", "list", "--supply", "a=1"]), {})
        assert found.command_line["supply"] == ["a=1"]


def test_settings_that_are_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are told at once, and the command ends with 2."""
    monkeypatch.setenv("SEATRIAL_KUBERNETES", "0.1")
    assert cli.main(["supply", "list", "--docker-host", "nonsense"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("seatrial: ")
    assert "SEATRIAL_KUBERNETES=0.1" in err
    assert "--docker-host 'nonsense'" in err


def test_what_could_not_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of ours is one message without a traceback, and the command ends with 1."""
    assert cli.main(["engine", "up", "--no-managed-engine"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("seatrial: ")
    assert "/nowhere/docker.sock" in err
    assert "Traceback" not in err


def test_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it with what shells say of SIGINT."""

    def interrupt(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.supply_cli, "run", interrupt)
    assert cli.main(["supply", "list"]) == 130
    assert capsys.readouterr().err == "seatrial: interrupted\n"


def test_terminated(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends it the same way, with what shells say of that signal."""
    monkeypatch.setattr(cli.supply_cli, "run", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["supply", "list"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "seatrial: terminated\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_removal_is_not_cut_short(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that arrives while the command removes what it made is told, and the removal goes on."""
    removed: list[str] = []

    def close(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        removed.append("all")

    monkeypatch.setattr("harness.assembly.Assembly.close", close)
    assert cli.main(["supply", "key"]) == 0
    assert removed == ["all"]
    assert "SIGTERM: removing what this run made first" in capfd.readouterr().err


WORKING = """
import sys
from pathlib import Path
from harness import cli
from harness.process.command import Command
from harness.process.runner import SubprocessRunner
from harness.supply.cache import Cache

def work(*_, **__):
    with Cache(Path(sys.argv[1])).workdir("tool") as workdir:
        program = Command(("sh", "-c", "echo $$; exec sleep 600"))
        SubprocessRunner().run(program, on_line=lambda line: print(line, workdir, flush=True))

cli.supply_cli.run = work
sys.exit(cli.main(["supply", "get", "kind"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_programs_and_removes_what_is_half_made(tmp_path: Path, number: signal.Signals) -> None:
    """The program that the command waits for ends with it, and so does its work directory."""
    command = subprocess.Popen(
        [sys.executable, "-c", WORKING, str(tmp_path / "cache")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A run in the background ignores SIGINT, and what it starts would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads there
    )
    with command.stdout or contextlib.nullcontext() as stdout:
        pid, _, workdir = str(stdout.readline() if stdout else "").strip().partition(" ")
        assert Path(workdir).is_dir()
        command.send_signal(number)
        assert command.wait(timeout=60) == 128 + number
    with command.stderr or contextlib.nullcontext() as stderr:
        assert stderr is None or "Traceback" not in stderr.read()
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(workdir).exists()


def test_list_looks_and_starts_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Everything there could be is listed; neither an engine nor a cache comes of it."""
    assert cli.main(["supply", "list"]) == 0
    out = capsys.readouterr().out
    assert "helm" in out
    assert "unknown" in out
    assert not (tmp_path / "state" / "engine").exists()


def test_reader_that_has_seen_enough() -> None:
    """`seatrial supply list | head -0` ends quietly, as SIGPIPE would end it."""
    program = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "supply", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.close()
    with program.stderr as stream:
        err = stream.read()
    assert (program.wait(timeout=60), err) == (141, b"")


def record(directory: Path, docker_host: str) -> None:
    """Leave the record of a cluster that was kept."""
    from harness.cluster.record import ClusterRecord, RecordStore, host_identity

    name = f"kept-{'own' if 'state' in docker_host else 'other'}"
    RecordStore(directory).save(
        ClusterRecord(name, Run.begin().run_id, host_identity(), docker_host, "", True, (), "ready", kubeconfig="")
    )


class TestPrune:
    """`seatrial supply prune` while no engine answers."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        """A cache with a bit of everything that runs leave there."""
        cache = tmp_path / "cache" / "seatrial"
        for name in ("engine/overlay2", "helm/cache", "locks", "logs", "go/mod", "artifacts"):
            (cache / name).mkdir(parents=True)
        (cache / "engine" / "overlay2" / "layer").write_text("x" * 5000)
        record(cache / "clusters", f"unix://{tmp_path}/state/engine/docker.sock")
        return cache

    def test_leaves_the_machine_as_found(self, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The data of an engine that is down go, the clusters that were in it are forgotten, the cache is no more."""
        assert cli.main(["supply", "prune"]) == 0
        out = capsys.readouterr().out
        assert f"removed {cache / 'engine'}" in out
        assert "images were not looked at" in out
        assert not cache.exists()

    def test_again(self, cache: Path) -> None:
        """Where there is nothing, nothing is left to do."""
        cli.main(["supply", "prune"])
        assert cli.main(["supply", "prune"]) == 0

    def test_stale_only(self, cache: Path) -> None:
        """What today's pins ask for is kept, and all that belongs to the engine."""
        assert cli.main(["supply", "prune", "--stale"]) == 0
        assert {path.name for path in cache.iterdir()} >= {"engine", "helm", "clusters", "go"}

    def test_keeps_what_is_known_of_other_engines(self, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A cluster kept in another engine, which does not answer now, can still be found again."""
        record(cache / "clusters", "unix:///other.sock")
        assert cli.main(["supply", "prune"]) == 0
        assert [path.name for path in (cache / "clusters").glob("kept-*")] == ["kept-other"]

    def test_data_that_will_not_go(
        self, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What stays is named with the reason, and the exit code says so."""
        monkeypatch.setattr("harness.engine.managed.mounts_below", lambda _: ["/mnt"])
        assert cli.main(["supply", "prune"]) == 1
        assert f"kept    {cache / 'engine'}: still mounted: /mnt" in capsys.readouterr().out
