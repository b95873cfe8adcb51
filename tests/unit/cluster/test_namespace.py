"""Whose a namespace of a fixed name is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
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
from harness.naming import Run

NAME = "test-ml-app"


@dataclass
class Api:
    """An API server that knows namespaces only, and removes them at once."""

    kubeconfig: Path
    namespaces: dict[str, Any] = field(default_factory=dict)

    def answer(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body."""
        name = path.removeprefix("/api/v1/namespaces").strip("/")
        if not name:
            return 200, {
                "kind": "NamespaceList",
                "metadata": {"resourceVersion": "1"},
                "items": [*self.namespaces.values()],
            }
        if "/" in name:
            return 200, {"kind": "Status"}
        if name not in self.namespaces:
            return 404, {"kind": "Status", "reason": "NotFound"}
        return 200, self.namespaces.pop(name) if method == "DELETE" else self.namespaces[name]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """The API server, listening."""
    api = Api(tmp_path / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = api.answer(self.command, urlsplit(self.path).path)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_DELETE = do_GET  # noqa: N815 - the base class calls it so

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


def factory(api: Api, lock_dir: Path, *, provider: str = "kind", disposable: bool = False) -> NamespaceFactory:
    """What is tested, at the API server."""
    handle = ClusterHandle("demo", provider, api.kubeconfig, "demo", Path("kubectl"))
    return NamespaceFactory(
        handle, run=Run.begin(), cleanup=CleanupStack(), lock_dir=lock_dir, disposable=disposable, timeout_s=5
    )


LABELS = Run("1f2e3d4c", 42, 1000, 1_700_000_000).labels()


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
