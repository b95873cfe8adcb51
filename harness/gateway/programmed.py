"""Waiting until the gateway sends a path where it belongs, so that the first request after a deployment finds its way.

A route's status says that Contour has taken it; whether every Envoy has it too, only the Envoys know. Each is asked
through the API server for the path itself, until the answer comes from behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from http import HTTPStatus
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from harness.cluster.provider import ClusterHandle
from harness.cluster.watching import Object, Objects, read_json, watch_until
from harness.deploy.release import ResourceRef
from harness.errors import AccessError
from harness.gateway.contour import NAME
from harness.gateway.routes import MANAGED_BY, ROUTE_VERSION
from harness.wait import Deadline, wait_until

# Ports of the chart's pods: Contour has Envoy serve a Gateway's port 80 there; the controller's health.
_ENVOY_PORT, _HEALTH_PORT = 8080, 8080
# Put on every answer that came from an upstream, on none that Envoy gave itself.
_FROM_UPSTREAM = "x-envoy-upstream-service-time"
# What Envoy itself answers while it has no route, or no endpoint behind it.
_NOT_YET = {HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE}
_REQUEST_S = 10.0


def wait_for_route(
    handle: ClusterHandle, prefix: str, *, timeout_s: float, namespace: str = NAME, answering: bool = True
) -> ResourceRef:
    """Return the HTTPRoute of `prefix` when every Envoy of the gateway follows it.

    Args:
        handle: the cluster.
        prefix: a path prefix as the Mapping or Ingress has it, e.g. ``/seldon/demo/app/``.
        timeout_s: limit in seconds.
        namespace: the gateway's.
        answering: whether to wait also until something behind the route answers a GET of it, with whatever status.

    Raises:
        AccessError: the Mapping or Ingress of this prefix cannot be routed; the message says why.
        ClusterNotReadyError: there was no such route in time, or the gateway did not take it.
        WaitTimeoutError: some Envoy does not follow it.
    """
    deadline = Deadline(timeout_s)
    with closing(handle.api_client()) as api:
        group, _, version = ROUTE_VERSION.partition("/")
        routes = partial(
            client.CustomObjectsApi(api).list_cluster_custom_object,
            group,
            version,
            "httproutes",
            label_selector=",".join(f"{key}={value}" for key, value in MANAGED_BY.items()),
        )
        found = watch_until(
            routes,
            what=f"see '{prefix}' routed by the gateway of cluster '{handle.name}'",
            done=lambda items: any(is_accepted(item) for item in routes_of(prefix, items)),
            describe=partial(_describe, prefix),
            deadline=deadline,
            hopeless=_Refusals(api, namespace, prefix).verdict,
            hint=f"`kubectl -n {namespace} logs deployment/{NAME}-routes` says what became of each Mapping and Ingress",
        )
        if answering:
            _wait_for_envoys(api, namespace, prefix, deadline)
    metadata = next(item["metadata"] for item in routes_of(prefix, found) if is_accepted(item))
    return ResourceRef("HTTPRoute", metadata["name"], metadata["namespace"], ROUTE_VERSION)


def routes_of(prefix: str, routes: Objects) -> list[Object]:
    """Return the routes with a rule for `prefix`; a slash at its end makes no difference."""
    wanted = prefix.rstrip("/")
    return [
        route
        for route in routes.values()
        for rule in route["spec"].get("rules", ())
        for match in rule.get("matches", ())
        if "path" in match and match["path"]["value"].rstrip("/") == wanted
    ]


def is_accepted(route: Object) -> bool:
    """Whether the gateway has taken the route as it stands now, and knows what is behind it."""
    parents = route.get("status", {}).get("parents") or ()
    generation = route["metadata"].get("generation")
    return any(
        {"Accepted", "ResolvedRefs"}
        <= {
            condition["type"]
            for condition in parent.get("conditions", ())
            if condition["status"] == "True" and condition.get("observedGeneration", generation) == generation
        }
        for parent in parents
    )


def _describe(prefix: str, routes: Objects) -> str:
    mine = routes_of(prefix, routes)
    if not mine:
        others = sorted({m["path"]["value"] for r in routes.values() for m in _paths(r)})
        return f"no route has this prefix; routed are: {', '.join(others) or 'none'}"
    told = [
        f"{condition['type']} is {condition['status']}: {condition.get('message') or condition.get('reason')}"
        for route in mine
        for parent in route.get("status", {}).get("parents") or ()
        for condition in parent.get("conditions", ())
    ]
    return "; ".join(told) or "the route is there, and the gateway has not looked at it yet"


def _paths(route: Object) -> list[Any]:
    return [match for rule in route["spec"].get("rules", ()) for match in rule.get("matches", ()) if "path" in match]


class _Refusals:
    """Asks the controller what it could not route; believes what it says twice.

    Twice, because it may not have read yet what was changed a moment ago.
    """

    def __init__(self, api: client.ApiClient, namespace: str, prefix: str) -> None:
        self._api = api
        self._namespace = namespace
        self._quoted = tuple(f"'{prefix.rstrip('/')}{end}'" for end in ("", "/", "(/|$)(.*)"))
        self._before: list[str] = []

    def verdict(self) -> AccessError | None:
        now = [problem for problem in self._problems() if any(quoted in problem for quoted in self._quoted)]
        before, self._before = self._before, now
        if now and now == before:
            return AccessError("route a path through the gateway", seen="\n".join(now), hint="correct what is named")
        return None

    def _problems(self) -> list[str]:
        core = client.CoreV1Api(self._api)
        for pod in _pods(core, self._namespace, "routes"):
            status, _, text = _through(core, self._namespace, f"{pod}:{_HEALTH_PORT}", "problems")
            if status == HTTPStatus.OK:
                return [problem for problem in json.loads(text) if "not routed" in problem]
        return []


def _wait_for_envoys(api: client.ApiClient, namespace: str, prefix: str, deadline: Deadline) -> None:
    core = client.CoreV1Api(api)
    path = prefix.lstrip("/")

    def missing() -> list[str]:
        pods = _pods(core, namespace, "envoy")
        said = {pod: _through(core, namespace, f"{pod}:{_ENVOY_PORT}", path) for pod in pods}
        late = [
            f"{pod}: HTTP {status} {text.strip()}"
            for pod, (status, sent, text) in said.items()
            if is_own_answer(status, sent)
        ]
        return late if pods else ["no Envoy is ready"]

    wait_until(
        f"get an answer through every Envoy for '{prefix}'",
        missing,
        done=lambda late: not late,
        timeout_s=deadline.remaining_s(at_least=1.0),
        poll_interval_s=0.1,
        describe="; ".join,
        hint="is what stands behind the route ready?",
    )


def is_own_answer(status: int, headers: Sequence[str]) -> bool:
    """Whether an answer is Envoy's own "not yet" rather than something from behind it."""
    return status in _NOT_YET and _FROM_UPSTREAM not in headers


def _pods(core: client.CoreV1Api, namespace: str, component: str) -> list[str]:
    """Return the names of the chart's ready pods of one component."""
    listing: Callable[..., Any] = partial(
        core.list_namespaced_pod, namespace, label_selector=f"app.kubernetes.io/component={component}"
    )
    return [
        pod["metadata"]["name"]
        for pod in read_json(listing)["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    ]


def _through(core: client.CoreV1Api, namespace: str, pod: str, path: str) -> tuple[int, Sequence[str], str]:
    """GET `path` from a pod's port through the API server; return status, names of headers (lower case) and text."""
    try:
        response: Any = core.connect_get_namespaced_pod_proxy_with_path(
            pod, namespace, path, _preload_content=False, _request_timeout=_REQUEST_S
        )
    except ApiException as error:
        headers: Any = error.headers or {}
        return int(error.status or 0), [name.lower() for name in headers], str(error.body or "")
    except HTTPError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, (), str(error)
    return response.status, [name.lower() for name in response.headers], response.data.decode("utf-8", "replace")
