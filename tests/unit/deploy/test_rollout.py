"""Rollouts and the watches below them, against an API server that answers from a script."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from urllib3.exceptions import ProtocolError

from harness.deploy.release import ResourceRef
from harness.deploy.rollout import is_rolled_out, wait_for_deletion, wait_for_load_balancer, wait_for_rollout
from harness.errors import DeployError, RolloutError, WaitTimeoutError

DEPLOYMENT = ResourceRef("Deployment", "app", "n", "apps/v1")
ROOT = "/apis/apps/v1/namespaces/n"


class Response:
    """What urllib3 would return; a watch that has played its events stays silent until its socket is shut down."""

    def __init__(self, status: int, body: Any = None, *, events: list[Any] | None = None, silent: bool = False) -> None:
        self.status = status
        self.data = json.dumps(body).encode()
        self._events = events or []
        self._silent = silent
        self.sock, self._peer = socket.socketpair()

    @property
    def connection(self) -> Response:
        """Where the reader finds the socket to interrupt."""
        return self

    def stream(self, **_: Any) -> Iterator[bytes]:
        """The watch's chunks: lines come in pieces."""
        for item in self._events:
            if isinstance(item, Exception):
                raise item
            whole = json.dumps(item).encode() + b"\n"
            yield whole[:5]
            yield whole[5:]
        if self._silent:
            self.sock.recv(1)

    def close(self) -> None:
        """Close both ends."""
        self.sock.close()
        self._peer.close()

    release_conn = close


class ScriptedServer:
    """The connection pool of an API client: lists by path, and for each path the watches in their order.

    A watch is a list of events; one that ends with an exception drops the connection there. When a path's watches
    are used up, the next one stays silent.
    """

    def __init__(self) -> None:
        self.lists: dict[str, list[Any]] = {
            "/api/v1": discovery(Service=("services", True), ConfigMap=("configmaps", True)),
            "/apis/apps/v1": discovery(Deployment=("deployments", True)),
        }
        self.watches: dict[str, list[list[Any]]] = {}
        self.asked: list[str] = []

    # The client's attributes that the reader uses.
    @property
    def rest_client(self) -> ScriptedServer:
        """The pool is all that is used of it."""
        return self

    pool_manager = rest_client

    @property
    def configuration(self) -> ScriptedServer:
        """Host and credentials."""
        return self

    host = "https://server"

    def auth_settings(self) -> Mapping[str, Any]:
        """No credentials."""
        return {}

    def request(self, _method: str, url: str, **_: Any) -> Response:
        """Answer from the script."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self.asked.append(parts.path + ("?watch" if "watch" in query else ""))
        if "watch" in query:
            script = self.watches.get(parts.path, [])
            return Response(200, events=script.pop(0)) if script else Response(200, silent=True)
        answers = self.lists.get(parts.path)
        if answers is None:
            return _closed(Response(404, {"message": "not found"}))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return _closed(Response(answer.get("status_code", 200), answer))


def _closed(response: Response) -> Response:
    response.close()
    return response


def discovery(**kinds: tuple[str, bool]) -> list[Any]:
    """What the server says of an API group's kinds: plural, and whether they are in namespaces."""
    return [{"resources": [{"kind": k, "name": n, "namespaced": scoped} for k, (n, scoped) in kinds.items()]}]


def listing(kind: str, *items: Any) -> dict[str, Any]:
    """A list as the server sends it: items without kind."""
    bare = [{key: value for key, value in item.items() if key != "kind"} for item in items]
    return {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": bare}


def deployment(available: int = 0, **status: Any) -> dict[str, Any]:
    """A Deployment that wants one replica."""
    return {
        "kind": "Deployment",
        "metadata": {"name": "app", "uid": "d", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "app"}}},
        "status": {
            "observedGeneration": 1,
            "updatedReplicas": 1,
            "replicas": 1,
            "availableReplicas": available,
            "readyReplicas": available,
            **status,
        },
    }


@pytest.fixture
def server() -> ScriptedServer:
    """A server with one Deployment that is not ready, its ReplicaSet, and no pod."""
    server = ScriptedServer()
    owner = [{"uid": "d"}]
    replicaset = {"metadata": {"uid": "r", "name": "app-1", "ownerReferences": owner, "annotations": {}}}
    server.lists |= {
        f"{ROOT}/deployments/app": [deployment()],
        f"{ROOT}/deployments": [listing("Deployment", deployment())],
        f"{ROOT}/replicasets": [listing("ReplicaSet", replicaset)],
        "/api/v1/namespaces/n/pods": [listing("Pod")],
        "/api/v1/namespaces/n/events": [listing("Event")],
    }
    return server


def test_a_finished_rollout_needs_no_watch(server: Any) -> None:
    """Two requests: discovery and the object."""
    server.lists[f"{ROOT}/deployments/app"] = [deployment(available=1)]
    assert wait_for_rollout(server, DEPLOYMENT, 5.0).ready == 1
    assert server.asked == ["/apis/apps/v1", f"{ROOT}/deployments/app"]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="on the first watch"),
        pytest.param(
            [[{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "2"}}}]], id="after the server ended one"
        ),
        pytest.param([[{"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}]], id="after 410 Gone"),
        pytest.param([[ProtocolError("dropped")]], id="after a dropped connection"),
    ],
)
def test_the_news_arrives(server: Any, before: list[list[Any]]) -> None:
    """Whatever happened to the watches before."""
    news = [{"type": "MODIFIED", "object": deployment(available=1)}]
    server.watches[f"{ROOT}/deployments"] = [*before, news]
    assert wait_for_rollout(server, DEPLOYMENT, 20.0).ready == 1


def test_what_happened_between_two_watches_is_not_missed(server: Any) -> None:
    """The list is read again after a drop."""
    done = listing("Deployment", deployment(available=1))
    server.lists[f"{ROOT}/deployments"] = [listing("Deployment", deployment()), done]
    server.watches[f"{ROOT}/deployments"] = [[ProtocolError("dropped")]]
    assert wait_for_rollout(server, DEPLOYMENT, 20.0).ready == 1


def test_a_hopeless_rollout_does_not_use_up_its_time(server: Any) -> None:
    """The pod's event arrives by watch; the error carries reason, progress and what the pod does."""
    container = {"name": "app", "image": "i", "state": {"waiting": {"reason": "InvalidImageName"}}}
    pod = {
        "metadata": {"name": "app-1-x", "uid": "p", "creationTimestamp": "1", "ownerReferences": [{"uid": "r"}]},
        "spec": {"containers": [{"name": "app"}]},
        "status": {"phase": "Pending", "containerStatuses": [container]},
    }
    server.watches["/api/v1/namespaces/n/pods"] = [[{"type": "ADDED", "object": pod}]]
    with pytest.raises(RolloutError, match=r"0 of 1 pods ready[\s\S]*'app-1-x' is Pending") as caught:
        wait_for_rollout(server, DEPLOYMENT, 600.0)
    assert (caught.value.reason, caught.value.facts["pod"]) == ("InvalidImageName", "app-1-x")


def test_at_the_deadline_the_error_says_how_far_it_got(server: Any) -> None:
    """Nothing points to a failure: the reason is the time."""
    with pytest.raises(RolloutError, match="0 of 1 pods ready") as caught:
        wait_for_rollout(server, DEPLOYMENT, 0.5)
    assert caught.value.reason == "Timeout"


def test_a_deployment_deleted_meanwhile_ends_the_wait(server: Any) -> None:
    """It will not come back by waiting."""
    server.watches[f"{ROOT}/deployments"] = [[{"type": "DELETED", "object": deployment()}]]
    with pytest.raises(RolloutError) as caught:
        wait_for_rollout(server, DEPLOYMENT, 600.0)
    assert caught.value.reason == "Deleted"


def test_a_list_that_may_not_be_read_is_told_at_once(server: Any) -> None:
    """403 does not go away."""
    server.lists["/api/v1/namespaces/n/events"] = [{"status_code": 403, "message": "events is forbidden"}]
    with pytest.raises(DeployError, match="HTTP 403: events is forbidden"):
        wait_for_rollout(server, DEPLOYMENT, 600.0)


def test_what_does_not_roll_out_cannot_be_waited_for(server: Any) -> None:
    """The kinds that do are named."""
    with pytest.raises(DeployError, match="one of Deployment, StatefulSet, DaemonSet, Job"):
        wait_for_rollout(server, ResourceRef("Service", "app", "n"), 1.0)


@pytest.mark.parametrize(
    ("status", "done"),
    [
        pytest.param({"availableReplicas": 1}, True, id="available"),
        pytest.param({"availableReplicas": 0}, False, id="not available"),
        pytest.param({"availableReplicas": 1, "observedGeneration": 0}, False, id="change not seen yet"),
        pytest.param({"availableReplicas": 1, "replicas": 2}, False, id="an old pod is left"),
        pytest.param({"availableReplicas": 1, "updatedReplicas": 0}, False, id="only old pods are available"),
    ],
)
def test_a_deployment_is_rolled_out_when_all_counts_agree(status: dict[str, Any], done: bool) -> None:
    """As kubectl rollout status has it."""
    assert is_rolled_out(deployment(**{"available": 0, **status})) is done


@pytest.mark.parametrize(
    ("strategy", "updated", "done"),
    [
        ({"type": "RollingUpdate"}, 2, False),
        ({"type": "RollingUpdate"}, 3, True),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, 2, True),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, 1, False),
        ({"type": "OnDelete"}, 0, True),
    ],
    ids=["one left", "all", "all above the partition", "one left above it", "pods stay until deleted"],
)
def test_a_statefulset_is_rolled_out_as_far_as_it_is_to_be(
    strategy: dict[str, Any], updated: int, *, done: bool
) -> None:
    """Pods below the partition, and all with OnDelete, keep their revision and hold nothing up."""
    status = {"readyReplicas": 3, "updatedReplicas": updated, "currentRevision": "a", "updateRevision": "b"}
    body = {
        "kind": "StatefulSet",
        "metadata": {},
        "spec": {"replicas": 3, "updateStrategy": strategy},
        "status": status,
    }
    assert is_rolled_out(body) is done


def test_deletion_is_seen_by_watch(server: Any) -> None:
    """The object goes while it is watched; one that is not there needs no watch."""
    path = "/api/v1/namespaces/n/configmaps"
    body = {"kind": "ConfigMap", "metadata": {"name": "a", "uid": "c", "deletionTimestamp": "now"}}
    server.lists[f"{path}/a"] = [body]
    server.lists[path] = [listing("ConfigMap", body)]
    server.watches[path] = [[{"type": "DELETED", "object": body}]]
    wait_for_deletion(server, [ResourceRef("ConfigMap", "a", "n"), ResourceRef("ConfigMap", "b", "n")], 20.0)


def test_a_balancer_without_a_controller_is_told_so(server: Any) -> None:
    """No address and no event: the hint names the likely reason."""
    path = "/api/v1/namespaces/n/services"
    body = {"kind": "Service", "metadata": {"name": "lb", "uid": "s"}, "spec": {"type": "LoadBalancer"}}
    server.lists[f"{path}/lb"] = [body]
    server.lists[path] = [listing("Service", body)]
    with pytest.raises(WaitTimeoutError, match="no load balancer controller"):
        wait_for_load_balancer(server, ResourceRef("Service", "lb", "n"), 0.3)
    given = {**body, "status": {"loadBalancer": {"ingress": [{"ip": "172.18.255.1"}]}}}
    server.watches[path] = [[{"type": "MODIFIED", "object": given}]]
    assert wait_for_load_balancer(server, ResourceRef("Service", "lb", "n"), 20.0) == "172.18.255.1"
