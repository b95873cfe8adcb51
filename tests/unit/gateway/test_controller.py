"""The controller's loop over a scripted API server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.gateway.controller import (
    RESOURCES,
    ApiError,
    ClusterRest,
    Controller,
    Follower,
    News,
    Resource,
    Store,
    Writer,
    event_of,
    serve_health,
)
from harness.gateway.routes import MANAGED_BY, Parent, Problem, Source
from tests.unit.gateway.test_routes import mapping, service

OWNER = "ambassador-ambassador-routes"


class ScriptedApi:
    """An API server with the objects that were put in, and what was written to it."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.events: list[Mapping[str, Any]] = []
        self.refuse: dict[str, ApiError | OSError] = {}
        self.lists: dict[str, Any] = {}
        self.watches: list[list[Mapping[str, Any]]] = []

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Answer like the real one."""
        del query
        for part, error in self.refuse.items():
            if part in path:
                raise error
        if method == "GET":
            return self.lists.get(path, {"metadata": {"uid": "owner-uid"}})
        if method == "POST":
            assert body is not None
            self.events.append(body)
            return body
        self.written.append((method, path.rpartition("/v1/")[2]))
        return {} if body is None else body

    def watch(self, path: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """Yield the next scripted watch."""
        del path, query
        yield from self.watches.pop(0) if self.watches else []


@pytest.fixture
def api() -> ScriptedApi:
    """An empty API server."""
    return ScriptedApi()


@pytest.fixture
def writer(api: ScriptedApi) -> Writer:
    """What writes to it."""
    return Writer(api, Parent(), OWNER)


def store(**lists: list[dict[str, Any]]) -> Store:
    """A store in which everything was listed."""
    made = Store()
    for resource in RESOURCES:
        made.take(News(resource.name, items=tuple(lists.get(resource.name, []))))
    return made


def routes(full: Store) -> list[Any]:
    """Return the HTTPRoutes that were translated, without the gateway's own."""
    return [route for route in full.all("httproutes") if route["metadata"]["name"] != "ambassador-checks"]


def test_the_gateway_answers_though_nothing_else_is_routed(writer: Writer) -> None:
    """Contour listens only while there is a route: Ambassador's own paths are always one."""
    full = store()
    writer.write(full)
    (checks,) = full.all("httproutes")
    paths = [rule["matches"][0]["path"]["value"] for rule in checks["spec"]["rules"]]
    assert paths == ["/ambassador/v0/check_alive", "/ambassador/v0/check_ready"]
    assert checks["metadata"]["ownerReferences"][0]["kind"] == "ClusterRole"


def test_the_first_turn_makes_the_gateway_and_the_routes_and_the_second_nothing(
    api: ScriptedApi, writer: Writer
) -> None:
    """What was applied counts as there at once, before any watch says so."""
    full = store(services=[service(mapping())])
    assert writer.write(full)
    (route,) = routes(full)
    assert api.written == [
        ("PATCH", "gatewayclasses/ambassador"),
        ("PATCH", "namespaces/ambassador/gateways/ambassador"),
        ("PATCH", "namespaces/ambassador/httproutes/ambassador-checks"),
        ("PATCH", f"namespaces/demo/httproutes/{route['metadata']['name']}"),
    ]
    api.written.clear()
    assert writer.write(full)
    assert api.written == []


def test_gateway_and_class_go_with_the_charts_cluster_role(writer: Writer) -> None:
    """Both name it as their owner, by the uid it has."""
    full = store()
    writer.write(full)
    for made in (*full.all("gatewayclasses"), *full.all("gateways")):
        (owner,) = made["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("ClusterRole", OWNER, "owner-uid")


def test_a_route_whose_source_went_is_deleted_and_one_whose_source_changed_is_written(
    api: ScriptedApi, writer: Writer
) -> None:
    """Only the difference is written."""
    full = store(services=[service(mapping(prefix="/a/"), name="a"), service(mapping(prefix="/b/"), name="b")])
    writer.write(full)
    names = [route["metadata"]["name"] for route in routes(full)]
    api.written.clear()
    full.take(News("services", event={"type": "DELETED", "object": service("", name="a")}))
    changed = service(mapping(prefix="/b/", timeout_ms=9000), name="b")
    full.take(News("services", event={"type": "MODIFIED", "object": changed}))
    assert writer.write(full)
    assert sorted(api.written) == [
        ("DELETE", f"namespaces/demo/httproutes/{names[0]}"),
        ("PATCH", f"namespaces/demo/httproutes/{names[1]}"),
    ]


def test_a_route_that_somebody_deleted_is_made_again(api: ScriptedApi, writer: Writer) -> None:
    """Routes are followed like everything else."""
    full = store(services=[service(mapping())])
    writer.write(full)
    api.written.clear()
    (route,) = routes(full)
    full.take(News("httproutes", event={"type": "DELETED", "object": route}))
    writer.write(full)
    assert api.written == [("PATCH", f"namespaces/demo/httproutes/{route['metadata']['name']}")]


def test_one_refused_route_keeps_none_of_the_others_and_is_owed(api: ScriptedApi, writer: Writer) -> None:
    """The rest is written; the answer says that something failed."""
    full = store(services=[service(mapping(prefix="/a/"), name="a"), service(mapping(prefix="/b/"), name="b")])
    api.refuse["http-a-"] = ApiError(422, "no")
    assert not writer.write(full)
    assert [route["metadata"]["name"].startswith("http-b-") for route in routes(full)] == [True]
    api.refuse.clear()
    assert writer.write(full)
    assert len(routes(full)) == 2


def test_a_route_that_went_by_itself_is_no_failure(api: ScriptedApi, writer: Writer) -> None:
    """The garbage collector may be faster than the controller."""
    full = store(services=[service(mapping())])
    writer.write(full)
    full.take(News("services", items=()))
    api.refuse["httproutes"] = ApiError(404, "not found")
    assert writer.write(full)
    assert routes(full) == []


def test_a_problem_becomes_one_event_and_stays_known_until_it_is_solved(api: ScriptedApi, writer: Writer) -> None:
    """Told once, listed as long as it lasts."""
    bad = store(services=[service(mapping(method="POST"))])
    writer.write(bad)
    writer.write(bad)
    assert [(event["reason"], event["type"]) for event in api.events] == [("NotRouted", "Warning")]
    assert api.events[0]["involvedObject"]["name"] == "app-default"
    assert len(writer.problems) == 1
    bad.take(News("services", items=(service(mapping()),)))
    writer.write(bad)
    assert writer.problems == ()


@pytest.mark.parametrize(
    "error",
    [ApiError(409, "exists"), ApiError(403, "no"), OSError("gone")],
    ids=["told before", "forbidden", "no server"],
)
def test_an_event_that_cannot_be_made_stops_nothing(
    api: ScriptedApi, writer: Writer, error: ApiError | OSError
) -> None:
    """Routes are written all the same."""
    api.refuse["events"] = error
    full = store(services=[service(mapping(method="POST")), service(mapping(), name="b")])
    assert writer.write(full)
    assert len(routes(full)) == 1


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Malformed", ("NotRouted", "Warning")),
        ("OtherGateway", ("NotRouted", "Normal")),
        ("NotKept", ("RoutedInPart", "Normal")),
    ],
)
def test_events_tell_what_became_of_it(reason: Any, expected: tuple[str, str]) -> None:
    """Reason and type follow from the kind of problem; the message fits into an event."""
    problem = Problem(Source("v1", "Service", "demo", "app", "u"), "Mapping 'm'", reason, "x" * 2000)
    event = event_of(problem, datetime(2026, 1, 2, tzinfo=timezone.utc))
    assert (event["reason"], event["type"]) == expected
    assert len(event["message"]) == 1024
    assert event["firstTimestamp"] == "2026-01-02T00:00:00Z"


# --- following ---------------------------------------------------------------------------------------------------


def listing(*items: dict[str, Any]) -> dict[str, Any]:
    """A list as the server sends it: its items do not say what they are."""
    return {"apiVersion": "v1", "items": list(items), "metadata": {"resourceVersion": "7"}}


def test_a_follower_tells_the_list_and_then_each_event(api: ScriptedApi) -> None:
    """Bookmarks are nobody's news; an expired version ends the watch, so that the next begins with a list."""
    api.lists["/api/v1/services"] = listing({"metadata": {"name": "a"}})
    added = {"type": "ADDED", "object": {"metadata": {"name": "b"}}}
    api.watches = [[{"type": "BOOKMARK", "object": {}}, added, {"type": "ERROR", "object": {"code": 410}}, added]]
    told: list[News] = []
    Follower(api, RESOURCES[0], told.append, lambda _: None).follow_once()
    assert told == [
        News("services", items=({"apiVersion": "v1", "metadata": {"name": "a"}},)),
        News("services", event=added),
    ]


def test_a_follower_takes_the_path_that_is_served(api: ScriptedApi) -> None:
    """Where the first path is unknown, the next is tried."""
    api.refuse["/new"] = ApiError(404, "no such thing")
    api.lists["/old"] = listing()
    told: list[News] = []
    follower = Follower(api, Resource("things", ("/new", "/old")), told.append, lambda _: None)
    follower.follow_once()
    follower.follow_once()
    assert told == [News("things", items=())]


@pytest.mark.parametrize("error", [OSError("refused"), ApiError(500, "etcd"), ApiError(404, "not yet")], ids=str)
def test_a_follower_outlives_the_api_server(
    api: ScriptedApi, error: ApiError | OSError, caplog: pytest.LogCaptureFixture
) -> None:
    """It pauses and asks again; trouble is logged when it begins and ends, not each time."""
    caplog.set_level("INFO")
    pauses: list[float] = []
    told: list[News] = []
    api.refuse["services"] = error
    api.lists["/api/v1/services"] = listing()
    follower = Follower(api, RESOURCES[0], told.append, pauses.append)
    follower.follow_once()
    follower.follow_once()
    api.refuse.clear()
    follower.follow_once()
    assert len(pauses) == 2
    assert len(told) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


# --- the loop ----------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_everything_was_listed(api: ScriptedApi, writer: Writer) -> None:
    """Half the picture would delete routes that are still asked for."""
    controller = Controller(api, writer)
    for resource in RESOURCES[:-1]:
        controller.tell(News(resource.name, items=()))
    assert controller.turn(0, owed=False)
    assert api.written == []
    assert controller.health("/readyz") == (503, {"not listed yet": ["grpcroutes"]})
    controller.tell(News(RESOURCES[-1].name, items=()))
    assert controller.turn(0, owed=False)
    assert len(api.written) == 3
    assert controller.health("/readyz")[0] == 200


def test_what_failed_is_owed_until_it_succeeds(api: ScriptedApi, writer: Writer) -> None:
    """A turn without news writes again when the last one failed, and only then."""
    controller = Controller(api, writer)
    for resource in RESOURCES:
        controller.tell(News(resource.name, items=()))
    api.refuse["gateways"] = OSError("gone")
    assert not controller.turn(0, owed=False)
    assert controller.health("/readyz")[0] == 503
    api.refuse.clear()
    assert controller.turn(0, owed=True)
    api.written.clear()
    assert controller.turn(0, owed=False)
    assert api.written == []


def test_health_is_answered_over_http(api: ScriptedApi, writer: Writer, credentials: Path) -> None:
    """Alive, the problems as sentences, and 404 for what is not offered."""
    server = serve_health(Controller(api, writer), 0)
    try:
        rest = ClusterRest(f"http://127.0.0.1:{server.server_address[1]}", credentials)
        assert "seconds since the last turn" in rest.request("GET", "/healthz")
        assert rest.request("GET", "/problems") == []
        with pytest.raises(ApiError, match="404"):
            rest.request("GET", "/elsewhere")
    finally:
        server.shutdown()
        server.server_close()


# --- the connection ----------------------------------------------------------------------------------------------


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """What the kubelet puts into a pod; plain http needs no authority."""
    (tmp_path / "token").write_text("secret\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers with what it was asked; a watch with two events in three chunks; /refused with a v1.Status."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            body: Any = {"asked": self.path, "sent": content, "headers": dict(self.headers), "verb": self.command}
            if self.path.startswith("/refused"):
                body = {"kind": "Status", "message": "may not"}
            self.send_response(403 if self.path.startswith("/refused") else 200)
            self.end_headers()
            if "watch=true" in self.path:
                for chunk in (b'{"type": "ADD', b'ED"}\n{"type":', b' "DELETED"}\n'):
                    self.wfile.write(chunk)
                    self.wfile.flush()
                return
            self.wfile.write(json.dumps(body).encode())

        do_GET = do_PATCH = do_POST = answer  # noqa: N815 - the names http.server calls

        def log_request(self, *_: object) -> None:
            """Be quiet."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def rest(server: ThreadingHTTPServer, credentials: Path) -> ClusterRest:
    """A connection to it."""
    return ClusterRest(f"http://127.0.0.1:{server.server_address[1]}", credentials)


@pytest.mark.parametrize(
    ("verb", "content_type"), [("PATCH", "application/apply-patch+yaml"), ("POST", "application/json")]
)
def test_what_is_sent(rest: ClusterRest, verb: str, content_type: str) -> None:
    """The pod's token, the query, the body and its type; PATCH is server-side apply."""
    answer = rest.request(verb, "/apis/x", {"a": 1}, {"force": "true"})
    assert (answer["verb"], answer["asked"], json.loads(answer["sent"])) == (verb, "/apis/x?force=true", {"a": 1})
    assert answer["headers"]["Authorization"] == "Bearer secret"
    assert answer["headers"]["Content-Type"] == content_type


def test_the_token_is_read_anew(rest: ClusterRest, credentials: Path) -> None:
    """The kubelet renews it."""
    (credentials / "token").write_text("renewed", encoding="utf-8")
    assert rest.request("GET", "/x")["headers"]["Authorization"] == "Bearer renewed"


def test_a_watch_yields_whole_events(rest: ClusterRest) -> None:
    """However the server cuts them."""
    assert [event["type"] for event in rest.watch("/x", {"resourceVersion": "1"})] == ["ADDED", "DELETED"]


def test_a_refusal_says_the_servers_own_words(rest: ClusterRest) -> None:
    """The message of a v1.Status, with the HTTP status."""
    with pytest.raises(ApiError, match="HTTP 403: may not"):
        rest.request("GET", "/refused")


def test_a_server_that_is_not_there_is_an_os_error(credentials: Path) -> None:
    """What the loop outlives."""
    with pytest.raises(OSError, match="refused"):
        ClusterRest("http://127.0.0.1:9", credentials).request("GET", "/x")


def test_owned_objects_are_asked_for_by_label() -> None:
    """Routes that others made are neither seen nor touched."""
    (selector,) = {resource.query["labelSelector"] for resource in RESOURCES if "gateway" in resource.paths[0]}
    assert selector == "app.kubernetes.io/managed-by=seatrial-gateway"
    assert MANAGED_BY == {"app.kubernetes.io/managed-by": "seatrial-gateway"}
