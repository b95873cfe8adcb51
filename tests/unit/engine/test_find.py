"""Which engine is used, and what is said when none answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.engine.engine import Engine
from harness.engine.find import DEFAULT_DOCKER_HOST, find_engine, look_for_engine, places
from harness.engine.probe import Answer, Verdict
from harness.errors import EngineError
from harness.settings.model import EngineSettings

OWN = "unix:///run/seatrial/docker.sock"
USERS = "tcp://10.0.0.1:2375"


class FakeOwn:
    """A managed engine that runs or not, and starts or not."""

    docker_host = OWN

    def __init__(self, *, runs: bool = False, refuses: str = "") -> None:
        self.runs = runs
        self.refuses = refuses
        self.started = 0

    def running(self) -> Engine | None:
        """Return it when it runs."""
        return Engine(OWN, "20", managed=True) if self.runs else None

    def up(self) -> Engine:
        """Start it, or refuse."""
        if self.refuses:
            raise EngineError("start a Docker engine of our own", seen=self.refuses, hint="become root")
        self.started += 1
        return Engine(OWN, "20", managed=True)


def settings(*, docker_host: str | None = None, managed: bool = True) -> EngineSettings:
    """Return the engine's slice of the settings."""
    return EngineSettings(docker_host, managed, install=False, state_dir=Path("/run/seatrial"), data_dir=Path("/data"))


class Asked:
    """Answers from a table and keeps what was asked."""

    def __init__(self, verdicts: Mapping[str, Verdict]) -> None:
        self.verdicts = verdicts
        self.addresses: list[str] = []

    def __call__(self, docker_host: str, tls_dir: Path | None = None) -> Answer:
        """Answer."""
        self.addresses.append(docker_host)
        return Answer(docker_host, self.verdicts.get(docker_host, "absent"), version="27", tls_dir=tls_dir)


def make_context(config: Path, name: str, docker_host: str, *, tls: bool = False, current: bool = True) -> None:
    """Store a context as the docker CLI does."""
    folder = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts/meta" / folder
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": docker_host}}}))
    if tls:
        (config / "contexts/tls" / folder / "docker").mkdir(parents=True)
    if current:
        (config / "config.json").write_text(json.dumps({"currentContext": name}))


@pytest.mark.parametrize(
    ("docker_host", "environ", "expected"),
    [
        pytest.param(USERS, {"DOCKER_HOST": "tcp://other:1"}, [USERS], id="the setting is the only place"),
        pytest.param(None, {"DOCKER_HOST": USERS, "DOCKER_CONTEXT": "x"}, [USERS], id="DOCKER_HOST beats the context"),
        pytest.param(
            None, {"DOCKER_CONTEXT": "default"}, [DEFAULT_DOCKER_HOST], id="the default context is the socket"
        ),
        pytest.param(None, {"DOCKER_HOST": ""}, [DEFAULT_DOCKER_HOST], id="an empty DOCKER_HOST is none"),
        pytest.param(
            None,
            {"XDG_RUNTIME_DIR": "/run/user/1"},
            [DEFAULT_DOCKER_HOST, "unix:///run/user/1/docker.sock"],
            id="the rootless socket comes last",
        ),
    ],
)
def test_places(docker_host: str | None, environ: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    """Places come in Docker's order and end at one that the user named."""
    found = places(settings(docker_host=docker_host), {"HOME": str(tmp_path), **environ})
    assert [place.docker_host for place in found] == expected


@pytest.mark.parametrize("tls", [False, True], ids=["without TLS", "with TLS"])
def test_current_context(tls: bool, tmp_path: Path) -> None:
    """Docker's current context comes before the default socket, with its TLS files."""
    make_context(tmp_path, "colima", USERS, tls=tls)
    first, second = places(settings(), {"DOCKER_CONFIG": str(tmp_path)})
    assert (first.docker_host, first.binding, first.tls_dir is not None) == (USERS, False, tls)
    assert second.docker_host == DEFAULT_DOCKER_HOST


@pytest.mark.parametrize("text", ["", "[]", '{"currentContext": 3}', "{"], ids=["empty", "list", "number", "cut"])
def test_broken_docker_configuration(text: str, tmp_path: Path) -> None:
    """A configuration file that cannot be read names no context; the default socket is still asked."""
    (tmp_path / "config.json").write_text(text)
    assert [place.docker_host for place in places(settings(), {"DOCKER_CONFIG": str(tmp_path)})] == [
        DEFAULT_DOCKER_HOST
    ]


def test_users_engine_is_used_as_it_is() -> None:
    """What answers at the default socket is used, unmanaged, and ours is not even looked at."""
    own = FakeOwn(runs=True)
    engine = find_engine(settings(), {}, own, ask=Asked({DEFAULT_DOCKER_HOST: "answers"}))
    assert engine == Engine(DEFAULT_DOCKER_HOST, "27", managed=False)
    assert own.started == 0


@pytest.mark.parametrize(
    ("docker_host", "environ", "named"),
    [
        pytest.param(USERS, {}, "--docker-host or DOCKER_HOST", id="setting"),
        pytest.param(None, {"DOCKER_HOST": USERS}, "DOCKER_HOST", id="DOCKER_HOST"),
        pytest.param(None, {"DOCKER_CONTEXT": "gone"}, "no such context", id="DOCKER_CONTEXT that does not exist"),
    ],
)
def test_named_engine_must_answer(docker_host: str | None, environ: dict[str, str], named: str, tmp_path: Path) -> None:
    """An engine the user named and that does not answer is an error at once: no other is asked or started."""
    own, asked = FakeOwn(runs=True), Asked({DEFAULT_DOCKER_HOST: "answers"})
    with pytest.raises(EngineError, match=named):
        find_engine(settings(docker_host=docker_host), {"HOME": str(tmp_path), **environ}, own, ask=asked)
    assert own.started == 0
    assert DEFAULT_DOCKER_HOST not in asked.addresses


def test_ours_is_known_by_its_address() -> None:
    """DOCKER_HOST pointing at the managed engine's socket still makes a managed engine."""
    assert find_engine(settings(), {"DOCKER_HOST": OWN}, FakeOwn(), ask=Asked({OWN: "answers"})).managed


@pytest.mark.parametrize("runs", [True, False], ids=["it runs", "it is started"])
def test_ours_where_none_answers(runs: bool) -> None:
    """Where nothing of the user's answers ours is used, started only when it does not run."""
    own = FakeOwn(runs=runs)
    assert find_engine(settings(), {}, own, ask=Asked({DEFAULT_DOCKER_HOST: "refused"})).managed
    assert own.started == (0 if runs else 1)


@pytest.mark.parametrize(
    ("verdict", "words", "usermod"),
    [
        pytest.param("denied", "permission denied", True, id="a socket this user may not use"),
        pytest.param("absent", "nothing there", False, id="no socket"),
        pytest.param("refused", "nobody listens", False, id="a stale socket"),
    ],
)
def test_one_clear_error(verdict: Verdict, words: str, usermod: bool) -> None:
    """The error names each place with what was seen, why ours is not started, and the cure for a closed socket only."""
    own = FakeOwn(refuses="this user (uid 1000) is not root")
    with pytest.raises(EngineError) as caught:
        find_engine(settings(), {}, own, ask=Asked({DEFAULT_DOCKER_HOST: verdict}))
    text = str(caught.value)
    for part in (DEFAULT_DOCKER_HOST, words, OWN, "not root", "become root", "DOCKER_HOST"):
        assert part in text
    assert ("usermod" in text) == usermod


def test_managed_switched_off() -> None:
    """With the managed engine switched off nothing is started, and the error says that it is off."""
    own = FakeOwn()
    with pytest.raises(EngineError, match="switched off"):
        find_engine(settings(managed=False), {}, own, ask=Asked({}))
    assert own.started == 0


def test_looking_starts_nothing() -> None:
    """Looking reports every place and starts nothing, a named engine that is down included."""
    own = FakeOwn()
    assert look_for_engine(settings(), {"DOCKER_HOST": USERS}, own, ask=Asked({})) == (
        None,
        (f"DOCKER_HOST ({USERS}): nothing there",),
    )
    found, lines = look_for_engine(settings(), {}, own, ask=Asked({}))
    assert found is None
    assert [OWN in line for line in lines] == [False, True]
    assert own.started == 0
