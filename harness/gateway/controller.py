"""The loop that keeps the gateway's routes as Services and Ingresses ask for them; runs in a pod.

Everything it looks at, its own routes included, it lists and watches. After each change it translates all there is,
compares with the routes there are, and writes the difference. It holds no state of its own: killed at any moment, it
goes on from what the API server says.

It also makes the GatewayClass and the Gateway. Helm cannot: it looks up every document's kind before it sends the
first one, and on a first install the kind comes with the same chart.

Run as ``python -m harness.gateway.controller``. Its image holds this file, routes.py, urllib3 and PyYAML.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from harness.gateway.routes import (
    DIGEST,
    MANAGED_BY,
    ROUTE_VERSION,
    STAND_IN_FOR,
    Body,
    Parent,
    Problem,
    Translation,
    translate,
)

NAME = "seatrial-gateway"
# The reason of events about what is not routed, and about what is routed with something left out.
NOT_ROUTED = "NotRouted"
ROUTED_IN_PART = "RoutedInPart"

# Ambassador's own paths, and what answers them here. They also keep the gateway listening while nothing else is routed:
# Contour takes a listener without routes away, and clients would see a refused connection instead of 404.
_CHECKS = {"/ambassador/v0/check_alive": "/healthz", "/ambassador/v0/check_ready": "/readyz"}
_HEALTH_PORT = 8080

# What Contour calls itself: internal/gatewayapi of github.com/projectcontour/contour v1.33.8.
_CONTROLLER_NAME = "projectcontour.io/gateway-controller"

# The server ends a watch after this many seconds; the next begins with a list, which mends whatever was missed.
_WATCH_S = 300
_REQUEST_S = 30.0
# Pause before asking again an API server that did not answer or does not serve a kind yet.
_PAUSE_S = 0.5
# The loop turns at least this often, and counts as stuck when it has not for several times as long.
_TURN_S = 5.0
_STUCK_S = 60.0

_log = logging.getLogger(NAME)

Query = Mapping[str, str]


class ApiError(Exception):
    """The API server refused a request; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"HTTP {status}: {message}")


class Rest(Protocol):
    """The API server, as far as this loop uses it."""

    def request(self, method: str, path: str, body: Body | None = None, query: Query | None = None) -> Any:
        """Return the parsed answer.

        Raises:
            ApiError: the server refused.
            OSError: there is no server.
        """

    def watch(self, path: str, query: Query) -> Iterator[Body]:
        """Yield watch events until the server ends the watch; raises as :meth:`request` does."""


class ClusterRest:
    """The API server over HTTPS, as a pod reaches it.

    The kubernetes package would do, and is 126 MB of models that know nothing of routes: the image would be three
    times as large for a list, a watch and a patch.

    Args:
        server: its address.
        credentials: the directory that the kubelet puts the service account's token and the authority into.
    """

    def __init__(self, server: str, credentials: Path) -> None:
        self._server = server.rstrip("/")
        self._token = credentials / "token"
        self._pool = urllib3.PoolManager(ca_certs=str(credentials / "ca.crt"), maxsize=2 * len(RESOURCES))

    def request(self, method: str, path: str, body: Body | None = None, query: Query | None = None) -> Any:
        """See :meth:`Rest.request`."""
        try:
            response = self._send(method, path, body, query or {}, _REQUEST_S)
            return json.loads(response.data or b"null")
        except HTTPError as error:
            raise OSError(str(error)) from error

    def watch(self, path: str, query: Query) -> Iterator[Body]:
        """See :meth:`Rest.watch`."""
        asked = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_S)}
        buffer = b""
        try:
            response = self._send("GET", path, None, asked, _WATCH_S + _REQUEST_S)
            try:
                for chunk in response.stream(amt=None, decode_content=False):
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    yield from (json.loads(line) for line in lines if line.strip())
            finally:
                response.close()
        except HTTPError as error:
            raise OSError(str(error)) from error

    def _send(self, method: str, path: str, body: Body | None, query: Query, read_s: float) -> urllib3.BaseHTTPResponse:
        # Read each time: the kubelet renews it every hour.
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token.read_text().strip()}"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        response = self._pool.request(
            method,
            f"{self._server}{path}" + (f"?{urlencode(query)}" if query else ""),
            body=None if body is None else json.dumps(body),
            headers=headers,
            preload_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=5.0, read=read_s),
        )
        if response.status >= HTTPStatus.BAD_REQUEST:
            text = bytes(response.data).decode("utf-8", errors="replace")
            with contextlib.suppress(ValueError, KeyError, TypeError):  # no v1.Status: told as it is
                text = str(json.loads(text)["message"])
            raise ApiError(response.status, text)
        return response


# --- what is followed --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resource:
    """A list to follow.

    Args:
        name: the plural.
        paths: where it is served; the first that answers is taken.
        query: which of its objects matter.
    """

    name: str
    paths: tuple[str, ...]
    query: Query = field(default_factory=dict)


_OURS = {"labelSelector": ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())}
_GATEWAY_API = f"/apis/{ROUTE_VERSION}"
_PLURALS = {
    "GatewayClass": "gatewayclasses",
    "Gateway": "gateways",
    "HTTPRoute": "httproutes",
    "GRPCRoute": "grpcroutes",
}
RESOURCES = (
    Resource("services", ("/api/v1/services",)),
    # Older API servers show the same Ingresses under an older name only.
    Resource("ingresses", ("/apis/networking.k8s.io/v1/ingresses", "/apis/extensions/v1beta1/ingresses")),
    *(Resource(plural, (f"{_GATEWAY_API}/{plural}",), _OURS) for plural in _PLURALS.values()),
)


@dataclass(frozen=True)
class News:
    """One thing a list said: all of it (`items`), or one event."""

    resource: str
    items: tuple[Body, ...] | None = None
    event: Body | None = None


class Follower:
    """Lists and watches one resource for as long as the process lives.

    Args:
        rest: the API server.
        resource: what to follow.
        tell: takes the news.
        pause: lets a moment pass after a failure.
    """

    def __init__(
        self, rest: Rest, resource: Resource, tell: Callable[[News], object], pause: Callable[[float], object]
    ) -> None:
        self._rest = rest
        self._resource = resource
        self._tell = tell
        self._pause = pause
        self._path = 0
        self._trouble = ""

    def run(self) -> None:
        """Follow; never returns."""
        while True:
            self.follow_once()

    def follow_once(self) -> None:
        """List, then watch until the watch ends in whatever way."""
        resource = self._resource
        path = resource.paths[self._path]
        try:
            listed = self._rest.request("GET", path, query=resource.query)
            group_version = listed.get("apiVersion")
            self._tell(News(resource.name, items=tuple({"apiVersion": group_version, **i} for i in listed["items"])))
            self._say("")
            query = {**resource.query, "resourceVersion": listed["metadata"]["resourceVersion"]}
            for event in self._rest.watch(path, query):
                if event["type"] == "ERROR":  # most often 410: the version is too old to watch from
                    return
                if event["type"] != "BOOKMARK":
                    self._tell(News(resource.name, event=event))
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                self._path = (self._path + 1) % len(resource.paths)
            self._say(str(error))
            self._pause(_PAUSE_S)
        except OSError as error:
            self._say(str(error))
            self._pause(_PAUSE_S)

    def _say(self, trouble: str) -> None:
        """Log when trouble begins, changes and ends; not every time it is met."""
        if trouble and trouble != self._trouble:
            _log.warning("cannot follow %s: %s", self._resource.name, trouble)
        elif self._trouble and not trouble:
            _log.info("following %s again", self._resource.name)
        self._trouble = trouble


class Store:
    """The latest state of everything followed."""

    def __init__(self, resources: tuple[Resource, ...] = RESOURCES) -> None:
        self._objects: dict[str, dict[tuple[str, str], Body] | None] = dict.fromkeys(r.name for r in resources)

    def take(self, news: News) -> None:
        """Take over what a list said."""
        if news.items is not None:
            self._objects[news.resource] = {_key(item): item for item in news.items}
        elif news.event is not None:
            known = self._objects[news.resource]
            if known is None:
                raise ValueError(f"an event of {news.resource} came before their list")
            known.pop(_key(news.event["object"]), None)
            if news.event["type"] != "DELETED":
                known[_key(news.event["object"])] = news.event["object"]

    def unknown(self) -> list[str]:
        """Return the resources that were never listed yet."""
        return sorted(name for name, objects in self._objects.items() if objects is None)

    def all(self, resource: str) -> list[Body]:
        """Return the objects of a resource, by namespace and name."""
        return [item for _, item in sorted((self._objects[resource] or {}).items())]


def _key(item: Body) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


# --- what is written ---------------------------------------------------------------------------------------------


class Writer:
    """Writes the difference between what is asked for and what is there.

    Args:
        rest: the API server.
        parent: the Gateway.
        owner: name of the ClusterRole that owns Gateway and GatewayClass: they go when the chart goes.
    """

    def __init__(self, rest: Rest, parent: Parent, owner: str) -> None:
        self._rest = rest
        self._parent = parent
        self._owner = owner
        self._owner_uid = ""
        self.problems: tuple[Problem, ...] = ()

    def write(self, store: Store) -> bool:
        """Make the cluster's routes what `store` asks for; return whether all of it succeeded."""
        translation = translate(store.all("services"), store.all("ingresses"), self._parent)
        self._report(translation)
        wanted = {_ref(body): body for body in (*self._gateway(), *translation.routes)}
        present = {(plural, *_key(item)): item for plural in _PLURALS.values() for item in store.all(plural)}
        succeeded = True
        for ref, body in wanted.items():
            if _digest(present.get(ref)) != _digest(body):
                succeeded &= self._attempt("apply", ref, store, partial(self._apply, ref, body))
        for ref in present:
            if ref not in wanted:
                succeeded &= self._attempt("delete", ref, store, partial(self._delete, ref))
        return succeeded

    def _attempt(self, verb: str, ref: tuple[str, str, str], store: Store, act: Callable[[], Body]) -> bool:
        what = f"{verb} {ref[0]} {'/'.join(filter(None, ref[1:]))}"
        try:
            event = act()
        except (ApiError, OSError) as error:
            _log.error("cannot %s: %s", what, error)
            return False
        _log.info("%s", what)
        # The watch will say the same; until then the next turn is not to write it again.
        store.take(News(ref[0], event=event))
        return True

    def _apply(self, ref: tuple[str, str, str], body: Body) -> Body:
        made = self._rest.request("PATCH", _path(ref), body, {"fieldManager": NAME, "force": "true"})
        return {"type": "MODIFIED", "object": made}

    def _delete(self, ref: tuple[str, str, str]) -> Body:
        try:
            self._rest.request("DELETE", _path(ref))
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:  # its owner went, and the cluster's garbage collector was faster
                raise
        return {"type": "DELETED", "object": {"metadata": {"namespace": ref[1], "name": ref[2]}}}

    def _gateway(self) -> tuple[Body, ...]:
        parent = self._parent
        listener = {
            "name": "http",
            "protocol": "HTTP",
            "port": 80,
            "allowedRoutes": {"namespaces": {"from": "All"}},
        }
        return (
            self._document("GatewayClass", "", parent.name, {"controllerName": _CONTROLLER_NAME}),
            self._document(
                "Gateway", parent.namespace, parent.name, {"gatewayClassName": parent.name, "listeners": [listener]}
            ),
            self._document("HTTPRoute", parent.namespace, f"{parent.name}-checks", self._checks()),
        )

    def _checks(self) -> Body:
        parent = self._parent
        rules = [
            {
                "matches": [{"path": {"type": "Exact", "value": path}}],
                "filters": [
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": answered_by}},
                    }
                ],
                "backendRefs": [{"name": f"{parent.name}-routes", "port": _HEALTH_PORT}],
            }
            for path, answered_by in _CHECKS.items()
        ]
        return {"parentRefs": [{"name": parent.name, "namespace": parent.namespace}], "rules": rules}

    def _document(self, kind: str, namespace: str, name: str, spec: Body) -> Body:
        if not self._owner_uid:
            self._owner_uid = self._find_owner()
        owner = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "name": self._owner,
            "uid": self._owner_uid,
        }
        digest = hashlib.sha256(json.dumps([spec, owner], sort_keys=True).encode()).hexdigest()[:16]
        metadata = {
            "name": name,
            "labels": dict(MANAGED_BY),
            "annotations": {DIGEST: digest, STAND_IN_FOR: "ambassador"},
            "ownerReferences": [owner],
        }
        if namespace:
            metadata["namespace"] = namespace
        return {"apiVersion": ROUTE_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

    def _find_owner(self) -> str:
        role = self._rest.request("GET", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{self._owner}")
        return str(role["metadata"]["uid"])

    def _report(self, translation: Translation) -> None:
        before, self.problems = self.problems, translation.problems
        for problem in translation.problems:
            if problem not in before:
                _log.warning("%s", problem)
                self._tell(problem)
        for problem in before:
            if problem not in translation.problems:
                _log.info("no longer: %s", problem)

    def _tell(self, problem: Problem) -> None:
        """Make an event of `problem`, shown by ``kubectl describe`` of what it is about."""
        try:
            path = f"/api/v1/namespaces/{problem.source.namespace}/events"
            self._rest.request("POST", path, event_of(problem, datetime.now(timezone.utc)))
        except (ApiError, OSError) as error:
            # 409: an earlier life of this process has told it.
            if not (isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT):
                _log.warning("cannot make an event of it: %s", error)


def event_of(problem: Problem, now: datetime) -> Body:
    """Return the event that tells `problem`; equal problems have equal names, so each is told once."""
    source = problem.source
    digest = hashlib.sha256(str(problem).encode()).hexdigest()[:16]
    is_partly_routed = problem.reason == "NotKept"
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{source.name}.{digest}", "namespace": source.namespace},
        "involvedObject": {
            "apiVersion": source.api_version,
            "kind": source.kind,
            "namespace": source.namespace,
            "name": source.name,
            "uid": source.uid,
        },
        "type": "Normal" if problem.reason in ("NotKept", "OtherGateway") else "Warning",
        "reason": ROUTED_IN_PART if is_partly_routed else NOT_ROUTED,
        # The longest message an event may have.
        "message": str(problem)[:1024],
        "source": {"component": NAME},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _ref(body: Body) -> tuple[str, str, str]:
    return (_PLURALS[body["kind"]], *_key(body))


def _path(ref: tuple[str, str, str]) -> str:
    plural, namespace, name = ref
    return f"{_GATEWAY_API}/" + (f"namespaces/{namespace}/" if namespace else "") + f"{plural}/{name}"


def _digest(body: Body | None) -> str | None:
    return None if body is None else (body["metadata"].get("annotations") or {}).get(DIGEST)


# --- the process -------------------------------------------------------------------------------------------------


class Controller:
    """The loop.

    Args:
        rest: the API server.
        writer: writes the routes.
    """

    def __init__(self, rest: Rest, writer: Writer) -> None:
        self._rest = rest
        self._writer = writer
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._store = Store()
        self._turned_at = time.monotonic()
        self.is_ready = False

    def run(self) -> None:
        """Follow everything and write routes; never returns."""
        for resource in RESOURCES:
            follower = Follower(self._rest, resource, self.tell, time.sleep)
            threading.Thread(target=follower.run, name=resource.name, daemon=True).start()
        is_done = True
        while True:
            is_done = self.turn(_TURN_S if is_done else _PAUSE_S, owed=not is_done)

    def tell(self, news: News) -> None:
        """Take what a follower has to say, from any thread."""
        self._news.put(news)

    def turn(self, wait_s: float, *, owed: bool) -> bool:
        """Wait for news, take all there are, and write if there were any or something is still owed.

        Args:
            wait_s: how long to wait for news, in seconds.
            owed: whether the last writing failed.

        Returns:
            Whether nothing is owed now.
        """
        self._turned_at = time.monotonic()
        try:
            self._store.take(self._news.get(timeout=wait_s))
        except queue.Empty:
            if not owed:
                return True
        while not self._news.empty():
            self._store.take(self._news.get())
        if self._store.unknown():
            return True  # the list that is missing will be news
        try:
            succeeded = self._writer.write(self._store)
        except (ApiError, OSError) as error:
            _log.error("cannot write routes: %s", error)
            succeeded = False
        if succeeded and not self.is_ready:
            _log.info("routes are as asked for")
        self.is_ready = self.is_ready or succeeded
        return succeeded

    def health(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of the answer to ``GET path``: /healthz, /readyz or /problems."""
        if path == "/healthz":
            stuck_s = time.monotonic() - self._turned_at
            return (200 if stuck_s < _STUCK_S else 500), {"seconds since the last turn": round(stuck_s, 1)}
        if path == "/readyz":
            return (200 if self.is_ready else 503), {"not listed yet": self._store.unknown()}
        if path == "/problems":
            return 200, [str(problem) for problem in self._writer.problems]
        return 404, {"paths": ["/healthz", "/readyz", "/problems"]}


def serve_health(controller: Controller, port: int) -> ThreadingHTTPServer:
    """Start answering health requests on `port` (0: a free one) and return the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = controller.health(self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
            """Probes are not worth a line each."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def main(argv: list[str] | None = None) -> None:
    """Run the controller in a pod until it is told to stop."""
    parser = argparse.ArgumentParser(prog=NAME, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gateway", default="ambassador/ambassador", help="NAMESPACE/NAME of the Gateway")
    parser.add_argument("--owner", required=True, help="the ClusterRole that Gateway and GatewayClass go with")
    parser.add_argument("--server", default="https://kubernetes.default.svc", help="address of the API server")
    parser.add_argument("--credentials", type=Path, default=Path("/var/run/secrets/kubernetes.io/serviceaccount"))
    parser.add_argument("--health-port", type=int, default=_HEALTH_PORT)
    options = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Nothing has to be put in order: the next life reads what it needs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    namespace, _, name = options.gateway.partition("/")
    rest = ClusterRest(options.server, options.credentials)
    controller = Controller(rest, Writer(rest, Parent(name, namespace), options.owner))
    serve_health(controller, options.health_port)
    _log.info("stand-in for Ambassador and ingress-nginx: routes go to Gateway '%s'", options.gateway)
    controller.run()


if __name__ == "__main__":
    main()
