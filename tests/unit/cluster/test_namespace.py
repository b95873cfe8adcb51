"""Whose a namespace of a fixed name is."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.cleanup import CleanupStack
from harness.cluster.namespace import NamespaceFactory
from harness.cluster.provider import ClusterHandle
from harness.errors import ClusterError
from harness.naming import LABEL_OWNER_HOST, LABEL_RUN, Run, process_start_ticks
from harness.wait import wait_until

NAME = "test-ml-app"


@dataclass
class Api:
    """An API server that knows namespaces only, and makes and removes them at once.

    Args:
        kubeconfig: leads to it.
        namespaces: what there is, by name.
        looked_for: the names that were asked for one by one.
        between: called once a name was found to be free.
    """

    kubeconfig: Path
    namespaces: dict[str, Any] = field(default_factory=dict)
    looked_for: list[str] = field(default_factory=list)
    between: Callable[[], object] = lambda: None

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and body."""
        name, _, inside = path.removeprefix("/api/v1/namespaces").strip("/").partition("/")
        if inside:
            return 200, _list("ServiceAccountList", [{"metadata": {"name": "default"}}])
        if method == "POST":
            return self._make(body)
        if not name:
            return 200, _list("NamespaceList", [*self.namespaces.values()])
        if method == "GET":
            self.looked_for.append(name)
        if name not in self.namespaces:
            self.between()
            return 404, {"kind": "Status", "reason": "NotFound"}
        return 200, self.namespaces.pop(name) if method == "DELETE" else self.namespaces[name]

    def _make(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = body["metadata"]["name"]
        if name in self.namespaces:
            return 409, {"kind": "Status", "reason": "AlreadyExists"}
        self.namespaces[name] = body
        return 201, body


def _list(kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"resourceVersion": "1"}, "items": items}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """The API server, listening."""
    api = Api(tmp_path / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = api.answer(self.command, urlsplit(self.path).path, json.loads(sent or b"{}"))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_DELETE = do_POST = do_GET  # noqa: N815 - the base class calls them so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        document = {
            "current-context": "demo",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{listening.server_address[1]}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "demo", "context": {"cluster": "c", "user": "u"}}],
        }
        api.kubeconfig.write_text(json.dumps(document), encoding="utf-8")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield api
        listening.shutdown()
        thread.join()


def namespace(**metadata: Any) -> dict[str, Any]:
    """A namespace as the API server shows it."""
    return {"kind": "Namespace", "metadata": {"name": NAME, **metadata}}


def factory(
    api: Api,
    lock_dir: Path,
    *,
    provider: str = "kind",
    disposable: bool = False,
    timeout_s: float = 5,
    cleanup: CleanupStack | None = None,
) -> NamespaceFactory:
    """What is tested, at the API server."""
    handle = ClusterHandle("demo", provider, api.kubeconfig, "demo", Path("kubectl"))
    stack = CleanupStack() if cleanup is None else cleanup
    return NamespaceFactory(
        handle, run=Run.begin(), cleanup=stack, lock_dir=lock_dir, disposable=disposable, timeout_s=timeout_s
    )


# The largest process id Linux gives out is 4,194,304: this run has ended.
LABELS = Run("1f2e3d4c", 4_194_399, 1000, 1_700_000_000).labels()
# The process that started this one is another, and lives.
LIVING = Run("aaaaaaaa", os.getppid(), process_start_ticks(os.getppid()) or 0, 1_700_000_000).labels()
ELSEWHERE = {**LABELS, LABEL_OWNER_HOST: "0123456789ab"}


@pytest.mark.parametrize(
    ("metadata", "options"),
    [
        pytest.param({"labels": LABELS}, {}, id="labelled, in a kept cluster"),
        pytest.param({"labels": LABELS}, {"provider": "existing"}, id="labelled, in somebody else's cluster"),
        pytest.param({}, {"disposable": True}, id="in a cluster of the run's own"),
        pytest.param({"deletionTimestamp": "2026-01-01T00:00:00Z"}, {}, id="on its way out anyway"),
    ],
)
def test_what_is_in_the_way_goes(api: Api, tmp_path: Path, metadata: dict[str, Any], options: dict[str, Any]) -> None:
    """What an earlier run left, and what nobody else can have made."""
    api.namespaces[NAME] = namespace(**metadata)
    with factory(api, tmp_path, **options).turn(NAME):
        assert api.namespaces == {}


@pytest.mark.parametrize("provider", ["kind", "existing"])
@pytest.mark.parametrize("labels", [{}, {"app": "theirs"}], ids=["no labels", "labels of somebody's"])
def test_what_somebody_else_made_stays(api: Api, tmp_path: Path, provider: str, labels: dict[str, str]) -> None:
    """People use kept clusters too. A refused turn takes nothing: the next one is refused as well."""
    api.namespaces[NAME] = namespace(labels=labels)
    for _ in range(2):
        with pytest.raises(ClusterError, match="did not make it"), factory(api, tmp_path, provider=provider).turn(NAME):
            pass
    assert NAME in api.namespaces


def test_a_deployments_own_namespace_is_known_after_a_kill(api: Api, tmp_path: Path) -> None:
    """It bears no label: that the name was taken is written down, beside clusters of ours."""
    turn = factory(api, tmp_path / "locks").turn(NAME)
    turn.__enter__()
    api.namespaces[NAME] = namespace()
    killed = tmp_path / "locks"
    (copy := tmp_path / "copy").mkdir()
    for path in killed.glob("*.claim"):
        (copy / path.name).touch()
    with (
        pytest.raises(ClusterError, match="did not make it"),
        factory(api, copy, provider="existing").turn(NAME),
    ):
        pass
    with factory(api, copy).turn(NAME):
        assert api.namespaces == {}
    turn.__exit__(None, None, None)


def test_what_comes_after_the_turn_is_somebody_elses(api: Api, tmp_path: Path) -> None:
    """A name that was given back is not taken any more."""
    with factory(api, tmp_path).turn(NAME):
        api.namespaces[NAME] = namespace()
    assert api.namespaces == {}
    api.namespaces[NAME] = namespace()
    with pytest.raises(ClusterError, match="did not make it"), factory(api, tmp_path).turn(NAME):
        pass


# -- whose owner may live


@pytest.mark.parametrize("provider", ["kind", "existing"])
@pytest.mark.parametrize(
    ("labels", "who"),
    [
        pytest.param(LIVING, f"run 'aaaaaaaa', process {os.getppid()} of this host", id="a process that lives"),
        pytest.param(ELSEWHERE, "run '1f2e3d4c' of another host", id="a process that cannot be seen"),
    ],
)
def test_what_a_living_run_made_stays(
    api: Api, tmp_path: Path, provider: str, labels: dict[str, str], who: str
) -> None:
    """A run with another cache has another lock: the turn is not had, and the error says who has it."""
    api.namespaces[NAME] = namespace(labels=labels)
    taker = factory(api, tmp_path, provider=provider, timeout_s=0.01)
    with pytest.raises(ClusterError, match=who) as caught, taker.turn(NAME):
        pass
    assert f"kubectl delete namespace {NAME}" in caught.value.hint
    assert NAME in api.namespaces


def test_it_is_had_once_the_living_run_gives_it_back(api: Api, tmp_path: Path) -> None:
    """Its owner removes it: the one who waits goes on."""
    api.namespaces[NAME] = namespace(labels=LIVING)
    had = threading.Event()

    def take() -> None:
        with factory(api, tmp_path).fixed(NAME):
            had.set()

    taking = threading.Thread(target=take)
    taking.start()
    wait_until("see it waited for", lambda: len(api.looked_for) > 1, timeout_s=10, poll_interval_s=0.01)
    assert not had.is_set()
    del api.namespaces[NAME]
    taking.join(timeout=10)
    assert had.is_set()
    assert api.namespaces == {}


def test_what_this_very_run_left_is_its_own(api: Api, tmp_path: Path) -> None:
    """A test whose end was disturbed: the next one of the same run takes the name anew."""
    api.namespaces[NAME] = namespace(labels=Run.begin().labels())
    with factory(api, tmp_path, provider="existing").turn(NAME):
        assert api.namespaces == {}


def test_who_had_the_lock_and_has_it_no_more_has_ended(api: Api, tmp_path: Path) -> None:
    """A container that was killed, its cache shared with the next: its process cannot be seen, its lock can."""
    turn = factory(api, tmp_path / "locks").turn(NAME)
    turn.__enter__()
    (claim,) = (tmp_path / "locks").glob("*.claim")
    left = claim.read_text(encoding="utf-8")
    turn.__exit__(None, None, None)
    mine, elsewhere = Run.begin().labels(), {**Run.begin().labels(), LABEL_OWNER_HOST: ELSEWHERE[LABEL_OWNER_HOST]}
    claim.write_text(left.replace(mine[LABEL_OWNER_HOST], elsewhere[LABEL_OWNER_HOST]), encoding="utf-8")
    run = left.partition(" ")[0]
    api.namespaces[NAME] = namespace(labels={**elsewhere, LABEL_RUN: run})
    with factory(api, tmp_path / "locks", provider="existing", timeout_s=0.01).turn(NAME):
        assert api.namespaces == {}


@pytest.mark.parametrize("labels", [LIVING, ELSEWHERE], ids=["on this host", "on another"])
def test_who_comes_second_removes_nothing(api: Api, tmp_path: Path, labels: dict[str, str]) -> None:
    """Another run makes the namespace after it was seen to be free: neither the turn's end nor the run's takes it."""
    api.between = lambda: api.namespaces.setdefault(NAME, namespace(labels=labels))
    with CleanupStack() as cleanup:
        late = factory(api, tmp_path, provider="existing", cleanup=cleanup)
        with pytest.raises(ClusterError, match="409"), late.fixed(NAME):
            pass
    assert api.namespaces[NAME]["metadata"]["labels"] == labels


def test_a_second_taker_of_the_same_cache_waits(api: Api, tmp_path: Path) -> None:
    """While one has the turn the lock keeps the other out; afterwards it has it."""
    with (
        factory(api, tmp_path).fixed(NAME),
        pytest.raises(ClusterError, match="another run holds"),
        factory(api, tmp_path, timeout_s=0.01).fixed(NAME),
    ):
        pass
    with factory(api, tmp_path, timeout_s=0.01).fixed(NAME):
        assert NAME in api.namespaces


def test_turns_without_a_place_for_locks(api: Api, tmp_path: Path) -> None:
    """A file is in the way: the error names it and what else can be given."""
    (tmp_path / "cache").write_text("", encoding="utf-8")
    with pytest.raises(ClusterError, match="get the turn") as caught, factory(api, tmp_path / "cache").turn(NAME):
        pass
    assert str(tmp_path / "cache") in caught.value.seen
    assert "XDG_CACHE_HOME" in caught.value.hint
