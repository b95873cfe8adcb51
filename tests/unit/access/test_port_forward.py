"""Port-forwarding against a fake API server: pod choice, bytes both ways, ends, errors, and nothing left."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.access.port_forward import port_forward, port_forward_port
from harness.errors import AccessError, EndpointNotReadyError
from harness.scoring.request import ScoreRequest
from harness.scoring.transport import RequestsTransport

DEPLOYMENT = "/apis/apps/v1/namespaces/demo/deployments/web"
SERVICE = "/api/v1/namespaces/demo/services/web"
POD = "/api/v1/namespaces/demo/pods/web-1"


def pod(name: str, *, ready: bool = True, terminating: bool = False, created: int = 0, phase: str = "Running") -> Any:
    """Return a pod as the API shows it; `created` is the second of its creation."""
    metadata = {"name": name, "namespace": "demo", "creationTimestamp": f"2026-01-01T00:00:{created:02}Z"}
    metadata |= {"resourceVersion": "7"} | ({"deletionTimestamp": "2026-01-01T01:00:00Z"} if terminating else {})
    state: Any = {"running": {}} if phase == "Running" else {"waiting": {"reason": "ImagePullBackOff"}}
    status = {"name": "app", "ready": ready, "restartCount": 0, "image": "x", "imageID": "y", "state": state}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "app", "image": "x", "ports": [{"containerPort": 5000, "name": "http"}]}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [status],
        },
    }


@pytest.fixture
def web(api: Any) -> Any:
    """A cluster with a ready pod behind a Deployment and a Service."""
    selector = {"matchLabels": {"app": "web"}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "x"}]}}
    api.pods = [pod("web-1")]
    api.objects[POD] = pod("web-1")
    api.objects[DEPLOYMENT] = {
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"selector": selector, "template": template},
    }
    api.objects[SERVICE] = {
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"clusterIP": "10.0.0.1", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    return api


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Every forward ends its threads before its block is left."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("port-forward")] == []


def connect(port: int) -> socket.socket:
    """Connect to a forwarded port, with a limit on every read."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other end closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("target", "remote_port", "selects"),
    [
        pytest.param("pod/web-1", 5000, {"fieldSelector": ["metadata.name=web-1"]}, id="a pod"),
        pytest.param("web-1", 5000, {"fieldSelector": ["metadata.name=web-1"]}, id="a pod's bare name"),
        pytest.param("po/web-1", "http", {"fieldSelector": ["metadata.name=web-1"]}, id="a pod's named port"),
        pytest.param("deployment/web", 5000, {"labelSelector": ["app=web"]}, id="a deployment"),
        pytest.param("deploy/web", "http", {"labelSelector": ["app=web"]}, id="a deployment's named port"),
        pytest.param("service/web", 80, {"labelSelector": ["app=web"]}, id="a service's port to its target port"),
    ],
)
def test_targets_end_at_the_right_port_of_the_right_pods(
    web: Any, target: str, remote_port: int | str, selects: dict[str, list[str]]
) -> None:
    """What kubectl's users type selects the same pods and container port; bytes go both ways."""
    with (
        port_forward(web.handle, target, namespace="demo", remote_port=remote_port) as endpoint,
        connect(endpoint.port) as client,
    ):
        assert (endpoint.url, endpoint.via) == (f"http://127.0.0.1:{endpoint.port}", "port-forward")
        client.sendall(b"ping")
        assert client.recv(100) == b"ping"
    assert web.forwarded == [("web-1", 5000)]
    assert all(selects.items() <= query.items() for path, query in web.asked if path.endswith("/pods"))
    assert web.tokens == {"Bearer t0p-secret"}


@pytest.mark.parametrize(
    ("spec", "remote_port", "lands_on"),
    [
        pytest.param({"ports": [{"port": 80, "targetPort": 9000}]}, 80, 9000, id="a numeric target port"),
        pytest.param({"ports": [{"port": 80}]}, 80, 80, id="no target port means the same"),
        pytest.param({"clusterIP": "None", "ports": [{"port": 80, "targetPort": 81}]}, 7000, 7000, id="headless"),
        pytest.param({"ports": [{"port": 80, "name": "w", "targetPort": 81}]}, "w", 81, id="the port's name"),
    ],
)
def test_a_services_port_is_translated_as_kubectl_does(
    web: Any, spec: dict[str, Any], remote_port: int | str, lands_on: int
) -> None:
    """Port and target port may differ; a headless Service translates nothing."""
    web.objects[SERVICE]["spec"] |= spec
    with (
        port_forward(web.handle, "svc/web", namespace="demo", remote_port=remote_port) as endpoint,
        connect(endpoint.port) as client,
    ):
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert web.forwarded == [("web-1", lands_on)]


@pytest.mark.parametrize("size", [1, 125, 126, 65_536, 3_000_000])
def test_bytes_arrive_unchanged_whatever_their_number(web: Any, size: int) -> None:
    """Large transfers in both directions at once neither stall nor change."""
    data = bytes(range(256)) * (size // 256 + 1)
    with (
        port_forward_port(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as port,
        connect(port) as client,
    ):
        sender = threading.Thread(target=client.sendall, args=(data[:size],))
        sender.start()
        received = bytearray()
        while len(received) < size:
            received += client.recv(65536)
        sender.join()
    assert received == data[:size]


def test_every_connection_chooses_a_pod_anew(web: Any) -> None:
    """After a replacement the same local port leads to the new pod, never to one that terminates or is not ready."""
    with port_forward_port(web.handle, "deployment/web", namespace="demo", remote_port=5000) as port:
        for pods in (
            [pod("web-1"), pod("web-2", ready=False, created=2)],
            [pod("web-1", terminating=True), pod("web-2", created=2)],
            [pod("web-2", created=2), pod("web-3", created=3)],
        ):
            web.pods = pods
            with connect(port) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
    assert [name for name, _ in web.forwarded] == ["web-1", "web-2", "web-3"]


def test_without_a_ready_pod_connections_are_closed_at_once(web: Any) -> None:
    """The client sees a reset, and the endpoint says why: the pods' own state."""
    with (
        port_forward(web.handle, "deployment/web", namespace="demo", remote_port=5000) as endpoint,
        RequestsTransport() as transport,
    ):
        web.pods = [pod("web-2", ready=False, phase="Pending")]
        with pytest.raises(EndpointNotReadyError) as caught:
            transport.send(ScoreRequest(endpoint, "/score"))
        assert "pod/web-2: Pending, container app waits: ImagePullBackOff" in str(caught.value)
        assert "find a ready pod of deployment/web in namespace 'demo'" in endpoint.diagnose()


def test_what_the_node_reports_is_told(web: Any) -> None:
    """A connection refused inside the pod reaches the reader of the error, and a later success clears it."""
    web.behave = lambda _name, _port, stream: stream.send(b"dial tcp4 127.0.0.1:5000: connection refused", channel=1)
    with port_forward(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as endpoint:
        with RequestsTransport() as transport, pytest.raises(EndpointNotReadyError) as caught:
            transport.send(ScoreRequest(endpoint, "/score"))
        assert "pod/web-1: dial tcp4 127.0.0.1:5000: connection refused" in str(caught.value)
        web.behave = lambda _name, _port, stream: stream.send(b"hello")
        with connect(endpoint.port) as client:
            assert read_all(client) == b"hello"
        with connect(endpoint.port) as client:
            read_all(client)
        assert endpoint.diagnose() == ""


def test_a_refused_websocket_is_told(web: Any) -> None:
    """Missing permission shows the server's own words."""
    web.refuse = (403, "pods web-1 is forbidden: cannot create pods/portforward")
    with port_forward(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as endpoint:
        with connect(endpoint.port) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        assert "403 pods web-1 is forbidden" in endpoint.diagnose()


def answer_and_close(_name: str, _port: int, stream: Any) -> None:
    """Answer one request with its own bytes in two parts, then close."""
    data = stream.read()
    stream.send(b"", opcode=9)  # a ping between the parts is nobody's data
    stream.send(data)
    stream.send(b"!" * 200_000)


def test_the_rest_of_an_answer_arrives_after_the_pod_closed(web: Any) -> None:
    """The client gets every byte and then the end, not a reset."""
    web.behave = answer_and_close
    with (
        port_forward_port(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as port,
        connect(port) as client,
    ):
        client.sendall(b"question")
        assert read_all(client) == b"question" + b"!" * 200_000


def test_a_client_that_has_finished_sending_still_gets_its_answer(web: Any) -> None:
    """Half-closing does not cut the answer off."""
    web.behave = answer_and_close
    with (
        port_forward_port(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as port,
        connect(port) as client,
    ):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).startswith(b"question!")


def test_leaving_the_block_closes_open_connections_and_the_port(web: Any) -> None:
    """Nothing listens and nothing hangs afterwards, though a client was connected."""
    with port_forward_port(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as port:
        client = connect(port)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    with client:
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_a_chosen_local_port_is_used(web: Any) -> None:
    """A free port that was asked for is the one that listens."""
    with port_forward_port(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as free:
        pass
    with port_forward_port(web.handle, "pod/web-1", namespace="demo", remote_port=5000, local_port=free) as port:
        assert port == free


def test_a_taken_local_port_is_an_error(web: Any) -> None:
    """The error names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with (
            pytest.raises(AccessError, match=rf"listen on 127\.0\.0\.1:{number}\n.*the port is in use\n.*free port"),
            port_forward(web.handle, "pod/web-1", namespace="demo", remote_port=5000, local_port=number),
        ):
            pass


def without_selector(web: Any) -> None:
    """Leave the Service without pods of its own."""
    del web.objects[SERVICE]["spec"]["selector"]


@pytest.mark.parametrize(
    ("target", "remote_port", "change", "says"),
    [
        pytest.param("job/web", 80, None, "of the form KIND/NAME", id="a kind without pods"),
        pytest.param("pod/", 80, None, "of the form KIND/NAME", id="no name"),
        pytest.param("pod/gone", 80, None, r"pod/gone in namespace 'demo'.*\n.*404", id="no such pod"),
        pytest.param("deploy/gone", 80, None, r"deploy/gone in namespace 'demo'.*\n.*404", id="no such deployment"),
        pytest.param("svc/web", 5000, None, "its ports are: 80", id="a container's port asked of a service"),
        pytest.param("svc/web", 80, without_selector, "selects no pods", id="a service without selector"),
    ],
)
def test_a_wrong_target_is_refused_at_once(
    web: Any, target: str, remote_port: int, change: Callable[[Any], None] | None, says: str
) -> None:
    """What can never work is an error before anything listens."""
    if change:
        change(web)
    with (
        pytest.raises(AccessError, match=says),
        port_forward(web.handle, target, namespace="demo", remote_port=remote_port),
    ):
        pass


def test_the_first_usable_pod_is_waited_for_by_watch(web: Any) -> None:
    """The block begins when the watch shows a ready pod."""
    web.pods = []
    web.events = [
        {"type": "ADDED", "object": pod("web-1", ready=False, phase="Pending")},
        {"type": "MODIFIED", "object": pod("web-1")},
    ]
    with port_forward_port(web.handle, "deployment/web", namespace="demo", remote_port=5000):
        assert any("watch" in query for _, query in web.asked)


def test_no_usable_pod_in_time_is_an_error(web: Any) -> None:
    """The error names the deadline and each pod's state."""
    web.pods = [pod("web-1", terminating=True)]
    with (
        pytest.raises(AccessError, match=r"deployment/web in namespace 'demo' within 0\.2 s\n.*pod/web-1: Terminating"),
        port_forward(web.handle, "deployment/web", namespace="demo", remote_port=5000, ready_timeout_s=0.2),
    ):
        pass


def test_a_dead_api_server_is_an_access_error(web: Any, tmp_path: Any) -> None:
    """Nothing but a typed error leaves the room when the cluster is gone."""
    config = web.handle.kubeconfig
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    lines = [f"    server: {address}" if "server:" in line else line for line in config.read_text().splitlines()]
    config.write_text("\n".join(lines))
    with (
        pytest.raises(AccessError, match="see whether the cluster still runs"),
        port_forward(web.handle, "pod/web-1", namespace="demo", remote_port=5000),
    ):
        pass


def test_a_proxy_of_the_environment_is_not_asked_for_a_cluster_on_this_host(
    web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither reads nor websockets to a loopback address go through a proxy that the environment names."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.org")
    with (
        port_forward(web.handle, "pod/web-1", namespace="demo", remote_port=5000) as endpoint,
        connect(endpoint.port) as client,
    ):
        client.sendall(b"x")
        assert client.recv(1) == b"x"
