"""Asking an API server that does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from harness.cluster.provider import ClusterHandle
from harness.cluster.readiness import is_healthy
from harness.cluster.watching import watch_until
from harness.errors import ClusterError
from harness.wait import Deadline


@dataclass
class HangingUp:
    """A server that takes every request and hangs up."""

    handle: ClusterHandle
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hanging_up(tmp_path: Path) -> Iterator[HangingUp]:
    """The server, with a cluster whose API server it is."""
    kubeconfig = tmp_path / "kubeconfig"
    server = HangingUp(ClusterHandle("demo", "kind", kubeconfig, "demo", Path("kubectl")))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        document = {
            "current-context": "demo",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{listening.server_address[1]}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "demo", "context": {"cluster": "c", "user": "u"}}],
        }
        kubeconfig.write_text(json.dumps(document), encoding="utf-8")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        listening.shutdown()
        thread.join()


def test_a_look_at_a_cluster_of_others_asks_once(hanging_up: HangingUp) -> None:
    """Whoever wants the cluster waits for the look: the client's own three further tries would take four times as long.

    A client that is not told so does try again, which is why it has to be told.
    """
    with closing(hanging_up.handle.api_client(patient=False)) as api, pytest.raises(HTTPError):
        is_healthy(api, nodes=1)
    assert len(hanging_up.asked) == 1
    with closing(hanging_up.handle.api_client()) as api, pytest.raises(HTTPError):
        is_healthy(api, nodes=1)
    assert len(hanging_up.asked) > 2


def test_one_list_takes_a_part_of_the_time_only() -> None:
    """However long the wait may be, it is soon asked again whether there is any hope."""
    limits_s = []

    def list_objects(**options: Any) -> None:
        limits_s.append(options["_request_timeout"])
        raise HTTPError("timed out")

    with pytest.raises(ClusterError, match="node is not running"):
        watch_until(
            list_objects,
            what="see nodes",
            done=bool,
            describe=str,
            deadline=Deadline(300),
            hopeless=lambda: ClusterError("use the cluster", seen="node is not running"),
        )
    assert limits_s == [10.0]
