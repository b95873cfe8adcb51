"""Port-forwarding through the API server: a local port whose connections end in a pod.

Each accepted connection gets a websocket of its own to ``/api/v1/namespaces/NAMESPACE/pods/NAME/portforward?ports=N``
with the subprotocol ``v4.channel.k8s.io``. Every binary message begins with a channel number: 0 carries the data, 1
the node's error text; the first message on each channel repeats the port (Kubernetes source,
``pkg/kubelet/cri/streaming/portforward/websocket.go`` and ``apimachinery/pkg/util/httpstream/wsstream``, checked with
1.34). The pod is chosen anew for each connection, so the forward outlives any one pod.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

import urllib3
import websocket
from kubernetes import client as kubernetes_client
from kubernetes import watch
from websocket import ABNF

from harness.access.api_server import API_TIMEOUT_S, ApiServer, open_api_server
from harness.access.endpoint import Endpoint
from harness.access.service import choose_port, described, http_url, read_service
from harness.cluster.provider import ClusterHandle
from harness.errors import AccessError, SeatrialError
from harness.wait import Deadline

LOOPBACK = "127.0.0.1"

# A pod that is there answers within milliseconds; this is for one whose image is still being pulled.
DEFAULT_READY_TIMEOUT_S = 60.0

SUBPROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1

# One message holds at most 32 KiB (what the node's own copying uses); per direction at most 256 KiB wait in memory.
_CHUNK_BYTES = 32_768
_WAITING_BYTES = 262_144

# The protocol cannot tell the pod that a client has finished sending, nor can TCP tell a client that only finished
# sending from one that went away. A client whose request is unanswered may be waiting for a slow model: one minute.
# One that has been answered, and then finished, has most likely gone: one second.
_UNANSWERED_LINGER_S = 60.0
_ANSWERED_LINGER_S = 1.0

# Threads end as soon as they notice that the forward closes; one that is opening a connection may need its time limit.
_JOIN_TIMEOUT_S = API_TIMEOUT_S + 1.0

# Watches end when the server says so; one that ends at once must not become a flood of requests.
_REWATCH_PAUSE_S = 0.1

# kubectl's names, short names and plurals of what has pods; the values name the kubernetes client's read methods.
_POD_NAMES = frozenset({"pod", "pods", "po"})
_SERVICE_NAMES = frozenset({"service", "services", "svc"})
_WORKLOAD_NAMES = {
    **dict.fromkeys(("deployment", "deployments", "deploy", "deployment.apps"), "deployment"),
    **dict.fromkeys(("statefulset", "statefulsets", "sts", "statefulset.apps"), "stateful_set"),
    **dict.fromkeys(("replicaset", "replicasets", "rs", "replicaset.apps"), "replica_set"),
    **dict.fromkeys(("daemonset", "daemonsets", "ds", "daemonset.apps"), "daemon_set"),
}


@contextmanager
def port_forward(
    handle: ClusterHandle,
    target: str,
    *,
    namespace: str,
    remote_port: int | str,
    local_port: int | None = None,
    ready_timeout_s: float = DEFAULT_READY_TIMEOUT_S,
) -> Iterator[Endpoint]:
    """Forward a port of 127.0.0.1 to a pod for as long as the block runs; no other process is involved.

    Every connection goes to the youngest pod that is ready and not terminating at that moment. While there is none,
    connections are closed at once, and the endpoint's ``diagnose`` says why. A named pod is taken as soon as it runs.

    Args:
        handle: the cluster.
        target: ``pod/NAME``, ``service/NAME``, ``deployment/NAME`` (also statefulset, replicaset, daemonset; kubectl's
            short names too), or the bare name of a pod.
        namespace: its namespace.
        remote_port: number or name of a port: the Service's own for a service, the container's for all else.
        local_port: port of 127.0.0.1 to listen on; ``None`` for a free one.
        ready_timeout_s: seconds to wait for the first usable pod.

    Yields:
        The endpoint, once there is a usable pod and the local port listens.

    Raises:
        AccessError: no such target or port, no usable pod in time, or the local port is taken.
    """
    with open_api_server(handle) as api:
        route = Route.to(api, target, namespace, remote_port)
        route.wait_for_pod(Deadline(ready_timeout_s))
        forwarder = _Forwarder(route, _listen(local_port))
        try:
            yield Endpoint(http_url(LOOPBACK, forwarder.port), "port-forward", diagnose=forwarder.diagnose)
        finally:
            forwarder.close()


@contextmanager
def port_forward_port(
    handle: ClusterHandle,
    target: str,
    *,
    namespace: str,
    remote_port: int | str,
    local_port: int | None = None,
    ready_timeout_s: float = DEFAULT_READY_TIMEOUT_S,
) -> Iterator[int]:
    """Like :func:`port_forward`, yielding only the local port's number, for what is not HTTP."""
    with port_forward(
        handle,
        target,
        namespace=namespace,
        remote_port=remote_port,
        local_port=local_port,
        ready_timeout_s=ready_timeout_s,
    ) as endpoint:
        yield endpoint.port


@dataclass(frozen=True)
class Route:
    """Which pods a forward may end in, and at which port of theirs.

    Args:
        api: the cluster's API server.
        target: what was asked for, e.g. ``service/web``.
        namespace: its namespace.
        selection: what selects its pods: ``label_selector`` or ``field_selector``.
        port: number or name of the container's port.
        named_pod: whether the target is one pod, which then need not be ready, only run.
    """

    api: ApiServer
    target: str
    namespace: str
    selection: dict[str, str]
    port: int | str
    named_pod: bool

    @classmethod
    def to(cls, api: ApiServer, target: str, namespace: str, remote_port: int | str) -> Route:
        """Find out what `target` selects; see :func:`port_forward`."""
        kind, _, name = target.rpartition("/")
        kind = kind.lower() or "pod"
        what = f"{kind}/{name} in namespace '{namespace}'"
        if not name or kind not in _POD_NAMES | _SERVICE_NAMES | _WORKLOAD_NAMES.keys():
            raise AccessError(
                f"forward a port to {target!r}",
                seen="it is not of the form KIND/NAME with a kind that has pods",
                hint="pod/NAME, service/NAME, deployment/NAME, statefulset/NAME, replicaset/NAME or daemonset/NAME",
            )
        if kind in _POD_NAMES:
            api.read(what, api.core.read_namespaced_pod, name, namespace)
            selection, port, named_pod = {"field_selector": f"metadata.name={name}"}, remote_port, True
        elif kind in _SERVICE_NAMES:
            service = read_service(api, name, namespace)
            if not service.spec.selector:
                raise AccessError(
                    f"forward a port to {described(service)}",
                    seen="it selects no pods",
                    hint="name a pod or a deployment instead",
                )
            selection, port, named_pod = {"label_selector": _joined(service.spec.selector)}, remote_port, False
            # A headless Service (clusterIP None) translates no ports: its clients connect to the pods themselves.
            if service.spec.cluster_ip != "None" or isinstance(remote_port, str):
                chosen = choose_port(service, remote_port)
                port = chosen.port if chosen.target_port is None else chosen.target_port
        else:
            workload = api.read(what, getattr(api.apps, f"read_namespaced_{_WORKLOAD_NAMES[kind]}"), name, namespace)
            selection, port, named_pod = {"label_selector": _selector(workload.spec.selector)}, remote_port, False
        return cls(api, f"{kind}/{name}", namespace, selection, port, named_pod)

    def pod(self) -> Any:
        """Return the pod the next connection goes to (``V1Pod``); raises :class:`~harness.errors.AccessError`."""
        pods = self._list().items
        usable = [pod for pod in pods if self._is_usable(pod)]
        if not usable:
            raise self._no_pod(pods)
        # The youngest: during a rolling update the older ones are about to go.
        return max(usable, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))

    def wait_for_pod(self, deadline: Deadline) -> None:
        """Watch the pods until one is usable; raises :class:`~harness.errors.AccessError` at the deadline."""
        while True:
            listed = self._list()
            if any(self._is_usable(pod) for pod in listed.items):
                return
            if deadline.has_passed():
                raise self._no_pod(listed.items, f" within {deadline.timeout_s:g} s")
            for event in self._watch(listed.metadata.resource_version, deadline):
                if event["type"] in {"ADDED", "MODIFIED"} and self._is_usable(event["object"]):
                    return
            deadline.clock.sleep(min(_REWATCH_PAUSE_S, deadline.remaining_s()))

    def container_port(self, pod: Any) -> int:
        """Return the port's number in `pod`; raises :class:`~harness.errors.AccessError` for a name it lacks."""
        if isinstance(self.port, int):
            return self.port
        ports = [port for container in pod.spec.containers for port in container.ports or []]
        for port in ports:
            if port.name == self.port:
                return int(port.container_port)
        names = ", ".join(f"{port.container_port}" + (f" ({port.name})" if port.name else "") for port in ports)
        raise AccessError(
            f"find the port '{self.port}' of pod/{pod.metadata.name} in namespace '{self.namespace}'",
            seen=f"its containers declare: {names or 'no ports'}",
            hint="name a port of the pod's containers, or give its number",
        )

    def connect(self, pod: Any) -> websocket.WebSocket:
        """Open a websocket that ends at the port in `pod`."""
        name, port = pod.metadata.name, self.container_port(pod)
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/portforward?ports={port}"
        return self.api.websocket(path, SUBPROTOCOL, timeout_s=API_TIMEOUT_S)

    def _list(self) -> Any:
        list_pods = self.api.core.list_namespaced_pod
        return self.api.read(f"pods of {self.target}", list_pods, self.namespace, **self.selection)

    def _watch(self, version: str, deadline: Deadline) -> Iterator[Any]:
        remaining_s = deadline.remaining_s(at_least=0.001)
        events = watch.Watch().stream(  # type: ignore[no-untyped-call] # the client has no types
            self.api.core.list_namespaced_pod,
            self.namespace,
            resource_version=version,
            timeout_seconds=ceil(remaining_s),
            _request_timeout=remaining_s,
            **self.selection,
        )
        try:
            yield from events
        except urllib3.exceptions.HTTPError:
            return  # nothing happened until the deadline, or the connection broke: the caller looks at its clock
        except kubernetes_client.ApiException as error:
            raise AccessError(
                f"watch the pods of {self.target}",
                seen=f"{error.status} {error.reason}",
                hint=f"`kubectl auth can-i watch pods -n {self.namespace}` says whether this context's user may",
            ) from error
        finally:
            events.close()

    def _is_usable(self, pod: Any) -> bool:
        if pod.metadata.deletion_timestamp is not None or pod.status.phase != "Running":
            return False
        conditions = pod.status.conditions or []
        return self.named_pod or any(item.type == "Ready" and item.status == "True" for item in conditions)

    def _no_pod(self, pods: list[Any], within: str = "") -> AccessError:
        return AccessError(
            f"find a ready pod of {self.target} in namespace '{self.namespace}'{within}",
            seen="\n".join(f"pod/{pod.metadata.name}: {_state(pod)}" for pod in pods) or "it has no pods",
            hint=f"kubectl describe pods --namespace {self.namespace}",
        )


def _joined(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _selector(selector: Any) -> str:
    """Return a LabelSelector as a query parameter (Kubernetes API conventions, "label selectors")."""
    terms = [_joined(selector.match_labels)] if selector.match_labels else []
    for rule in selector.match_expressions or []:
        values = f"({','.join(rule.values or [])})"
        terms.append(
            {
                "In": f"{rule.key} in {values}",
                "NotIn": f"{rule.key} notin {values}",
                "Exists": rule.key,
                "DoesNotExist": f"!{rule.key}",
            }[rule.operator]
        )
    return ",".join(terms)


def _state(pod: Any) -> str:
    """Say in Kubernetes' own words why a pod cannot be used."""
    words = ["Terminating" if pod.metadata.deletion_timestamp is not None else str(pod.status.phase)]
    for status in pod.status.container_statuses or []:
        state = status.state
        if state is not None and state.waiting is not None:
            words.append(f"container {status.name} waits: {state.waiting.reason}")
        elif state is not None and state.terminated is not None:
            words.append(f"container {status.name} ended: {state.terminated.reason}")
        elif not status.ready:
            words.append(f"container {status.name} is not ready")
    return ", ".join(words)


def _listen(port: int | None) -> socket.socket:
    """Return a socket that listens on 127.0.0.1; raises :class:`~harness.errors.AccessError` when it cannot."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port or 0))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise AccessError(
            f"listen on {LOOPBACK}:{port}",
            seen="the port is in use" if in_use else str(error),
            hint="leave local_port out: a free port is chosen then",
        ) from error
    return listener


class _Forwarder:
    """Accepts connections on a local port and gives each a thread that moves its bytes."""

    def __init__(self, route: Route, listener: socket.socket) -> None:
        self._route = route
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._trouble = (0, "")  # number of the connection it happened to, and what
        # Closing one end makes the other readable for every thread that polls it, now and later.
        self._stop_here, self._stop_there = socket.socketpair()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._acceptor = threading.Thread(target=self._accept, name=f"port-forward {route.target}", daemon=True)
        self._acceptor.start()

    def diagnose(self) -> str:
        """Say what went wrong last; empty when a later connection ended well."""
        return self._trouble[1]

    def close(self) -> None:
        """Stop listening, close all connections, and wait for their threads."""
        self._stop_here.close()
        self._acceptor.join(_JOIN_TIMEOUT_S)
        deadline = Deadline(_JOIN_TIMEOUT_S)
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(deadline.remaining_s())
        self._stop_there.close()

    def _accept(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        poller.register(self._stop_there, select.POLLIN)
        number = 0
        with self._listener:
            while not any(fd == self._stop_there.fileno() for fd, _ in poller.poll()):
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    continue  # the client left before it was accepted, or the process has no descriptor to spare
                number += 1
                thread = threading.Thread(
                    target=self._serve,
                    args=(connection, number),
                    name=f"port-forward {self._route.target} {number}",
                    daemon=True,
                )
                with self._lock:
                    self._threads.add(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with connection:
                problem = self._forward(connection)
                # Said before the connection closes, so that a client that sees it closed can ask why; and not by an
                # older connection that happens to end later.
                with self._lock:
                    if problem or number > self._trouble[0]:
                        self._trouble = (number, problem)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _forward(self, connection: socket.socket) -> str:
        """Serve one connection to its end; return what went wrong, empty when nothing did."""
        pod = None
        try:
            pod = self._route.pod()
            upstream = self._route.connect(pod)
        except SeatrialError as error:
            _reset(connection)
            return str(error)
        try:
            problem = _Pump(connection, upstream, self._stop_there).run()
        finally:
            upstream.shutdown()  # type: ignore[no-untyped-call] # the client has few types
        return f"pod/{pod.metadata.name}: {problem}" if problem else ""


def _reset(connection: socket.socket) -> None:
    """Make the coming close a reset: the client must not take it for an empty answer."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Pump:
    """Moves the bytes of one connection both ways, in one thread: TLS sockets are not safe in two."""

    def __init__(self, local: socket.socket, upstream: websocket.WebSocket, stop: socket.socket) -> None:
        self._local = local
        self._upstream = upstream
        self._remote: Any = upstream.sock  # a socket or a TLS socket
        self._stop = stop
        self._to_pod = bytearray()
        self._to_local = bytearray()
        self._local_open = True  # the client may still send
        self._remote_open = True
        self._seen_first = {_DATA: False, _ERROR: False}
        self._channel = _DATA
        self._answered = False
        self._problem = ""
        self._quiet_since = time.monotonic()

    def run(self) -> str:
        """Return what the node reported, empty for a connection that ended well."""
        self._local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._local.setblocking(False)
        self._remote.setblocking(False)
        try:
            while self._remote_open:
                if self._wait() or self._has_lingered():
                    return self._problem
                self._move()
            self._finish()
        except OSError:
            # One side went away in mid-air. That is the client's to notice; what the node said before still counts.
            _reset(self._local)
        if self._problem:
            _reset(self._local)
        return self._problem

    def _wait(self) -> bool:
        """Wait until something can be moved; return whether the forward is being closed."""
        poller = select.poll()
        poller.register(self._stop, select.POLLIN)
        local = (select.POLLIN if self._wants_local() else 0) | (select.POLLOUT if self._to_local else 0)
        if local:
            poller.register(self._local, local)
        remote = (select.POLLIN if self._wants_remote() else 0) | (select.POLLOUT if self._to_pod else 0)
        if remote:
            poller.register(self._remote, remote)
        timeout_s = max(0.0, self._linger_s() - self._quiet_s()) if self._lingers() else None
        # TLS decrypts whole records: the next message may be in memory already, where polling the socket misses it.
        if self._wants_remote() and isinstance(self._remote, ssl.SSLSocket) and self._remote.pending():
            timeout_s = 0.0
        ready = poller.poll(None if timeout_s is None else ceil(timeout_s * 1000))
        return any(fd == self._stop.fileno() for fd, _ in ready)

    def _move(self) -> None:
        """Move whatever can be moved without waiting; what cannot yet is tried again after the next wait."""
        if self._wants_local():
            self._read_local()
        while self._remote_open and self._wants_remote() and self._read_remote():
            pass
        if self._remote_open:
            try:
                self._write(self._remote, self._to_pod)
            except OSError:
                self._remote_open = False  # what it sent before is still the client's
        self._write(self._local, self._to_local)

    def _wants_local(self) -> bool:
        return self._local_open and len(self._to_pod) < _WAITING_BYTES

    def _wants_remote(self) -> bool:
        return len(self._to_local) < _WAITING_BYTES

    def _quiet_s(self) -> float:
        return time.monotonic() - self._quiet_since

    def _linger_s(self) -> float:
        return _ANSWERED_LINGER_S if self._answered else _UNANSWERED_LINGER_S

    def _has_lingered(self) -> bool:
        return self._lingers() and self._quiet_s() >= self._linger_s()

    def _lingers(self) -> bool:
        """Whether the client has finished sending and all there is has been passed on."""
        return not (self._local_open or self._to_pod or self._to_local)

    def _read_local(self) -> None:
        try:
            data = self._local.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        self._quiet_since = time.monotonic()
        if data:
            self._answered = False
            self._send(bytes([_DATA]) + data, ABNF.OPCODE_BINARY)
        else:
            self._local_open = False

    def _read_remote(self) -> bool:
        """Take one frame in, if a whole one is there; return whether to look for another."""
        try:
            frame = self._upstream.recv_frame()  # type: ignore[no-untyped-call] # the client has few types
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except (websocket.WebSocketException, OSError):
            self._remote_open = False
            return False
        self._quiet_since = time.monotonic()
        if frame.opcode == ABNF.OPCODE_CLOSE:
            self._remote_open = False
        elif frame.opcode == ABNF.OPCODE_PING:
            self._send(frame.data, ABNF.OPCODE_PONG)
        elif frame.opcode == ABNF.OPCODE_BINARY and frame.data:
            self._channel = frame.data[0]
            if self._seen_first.get(self._channel, False):
                self._take(frame.data[1:])
            self._seen_first[self._channel] = True
        elif frame.opcode == ABNF.OPCODE_CONT:
            self._take(frame.data)
        return True

    def _take(self, data: bytes) -> None:
        if self._channel == _DATA:
            self._answered = True
            self._to_local += data
        elif self._channel == _ERROR:
            self._problem += data.decode(errors="replace")
            self._remote_open = False

    def _send(self, payload: bytes, opcode: int) -> None:
        self._to_pod += ABNF.create_frame(payload, opcode).format()

    @staticmethod
    def _write(to: Any, data: bytearray) -> None:
        """Write as much as fits. What TLS could not write is offered again from the same first byte, as it demands."""
        while data:
            try:
                sent = to.send(bytes(data[:_CHUNK_BYTES]))
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del data[:sent]

    def _finish(self) -> None:
        """The pod has closed: give the client the rest, then let it close, so that no reset overtakes the answer."""
        deadline = Deadline(_UNANSWERED_LINGER_S)
        poller = select.poll()
        poller.register(self._stop, select.POLLIN)
        poller.register(self._local, select.POLLOUT)
        while self._to_local and not deadline.has_passed() and not self._problem:
            if any(fd == self._stop.fileno() for fd, _ in poller.poll(ceil(deadline.remaining_s() * 1000))):
                return
            self._write(self._local, self._to_local)
        if self._problem:
            return
        self._local.shutdown(socket.SHUT_WR)
        poller.modify(self._local, select.POLLIN)
        deadline = Deadline(_ANSWERED_LINGER_S)
        while self._local_open and not deadline.has_passed():
            if any(fd == self._stop.fileno() for fd, _ in poller.poll(ceil(deadline.remaining_s() * 1000))):
                return
            with contextlib.suppress(BlockingIOError):
                self._local_open = bool(self._local.recv(_CHUNK_BYTES))
