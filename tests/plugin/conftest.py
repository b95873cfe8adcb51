"""Foreign projects for the real plugin, with a made-up cluster: an API server on loopback and a script as kubectl.

Both are the lowest seams there are, so that all of Seatrial between them and pytest is real.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kubernetes.client
import pytest

KUBECTL = """#!/bin/sh
case "$*" in
  *version*) echo '{"clientVersion": {"gitVersion": "v1.34.4"}}' ;;
  *json*) echo '{"items": []}' ;;
  *) echo "answer to: $*" ;;
esac
"""

# For a project's conftest.py: a namespace that is watched as those are which fixtures make.
DEMO = """
    import pytest

    @pytest.fixture
    def demo(seatrial, cluster):
        with seatrial.evidence.scene.watching(cluster, "demo"):
            yield "demo"
"""


@dataclass
class FakeCluster:
    """A cluster that says which version it has, and who asked.

    Args:
        arguments: of pytest, to use it.
        asked: paths of the requests it got.
    """

    arguments: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def fake_cluster(pytester: pytest.Pytester) -> Iterator[FakeCluster]:
    """A cluster for one test."""
    cluster = FakeCluster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cluster.asked.append(self.path)
            answers = {"/version/": {"gitVersion": "v1.34.4", "major": "1", "minor": "34"}, "/api/v1/nodes": NODES}
            body = json.dumps(answers.get(self.path.partition("?")[0], {"kind": "Status", "code": 404})).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        kubeconfig = pytester.path / "kubeconfig"
        kubeconfig.write_text(json.dumps(kubeconfig_of(listening.server_address[1])))
        kubectl = pytester.path / "kubectl"
        kubectl.write_text(KUBECTL)
        kubectl.chmod(0o755)
        cluster.arguments = (
            *("--cluster-provider=existing", f"--kubeconfig={kubeconfig}", "--kube-context=fake"),
            f"--kind-kubectl-bin={kubectl}",
        )
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield cluster
        listening.shutdown()
        thread.join()


NODES = {"kind": "NodeList", "items": [{"metadata": {"name": "one"}}]}


def kubeconfig_of(port: int) -> dict[str, object]:
    """Return a kubeconfig whose context `fake` is the API server on `port`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t0p-secret"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "c", "user": "u"}}],
    }


@pytest.fixture(scope="session", autouse=True)
def _whole_kubernetes_client() -> None:
    """Have all of the Kubernetes client here, which imports each of its models when that is first used.

    A cluster that other tests ask for is made beside these, and what its thread imports while a project is run in this
    process, pytester takes away from it.
    """
    for name in dir(kubernetes.client):
        getattr(kubernetes.client, name)


@pytest.fixture(autouse=True)
def home(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a cache of the test's own, and no variable that means something to the plugin."""
    ours = ("DOCKER_HOST", "DOCKER_CONTEXT", "KUBECONFIG", "XDG_RUNTIME_DIR", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")
    for name in (*ours, "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    home = pytester.mkdir("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    return home
