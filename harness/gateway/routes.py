"""What was written for Ambassador or ingress-nginx, said again as routes of the Gateway API.

Pure translation: objects in, documents out. Two languages are read:

* The annotation ``getambassador.io/config`` on Services: YAML documents of kind Mapping, apiVersion ambassador/v1, with
  the fields that Seldon's operator writes (controllers/ambassador/v1.go of
  github.com/seldonio/seldon-core/operator v1.16.0). Two predictors of one deployment give two Mappings with one prefix
  on two Services: they become one route with weighted backends.
* Ingresses of class nginx whose path ends in ``(/|$)(.*)`` and whose rewrite-target is ``/$2``, as Bodywork writes
  them, and Ingresses with plain paths and no rewriting.

Where the languages differ:

* Ambassador compares a prefix character by character, the Gateway API path segment by path segment: ``/a`` does not
  match ``/ab`` here. What the operator writes ends in a slash and means the same in both.
* A GRPCRoute has no time limit (Gateway API v1.3): the ``timeout_ms`` of a gRPC Mapping is not kept, a client's own
  deadline holds.

What cannot be translated becomes a :class:`Problem`, never silence.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

Body = Mapping[str, Any]

ROUTE_VERSION = "gateway.networking.k8s.io/v1"
MANAGED_BY = {"app.kubernetes.io/managed-by": "seatrial-gateway"}
# Digest of what a route says: equal digests need no writing.
DIGEST = "seatrial.dev/translation"
STAND_IN_FOR = "seatrial.dev/stand-in-for"

AMBASSADOR_CONFIG = "getambassador.io/config"
INGRESS_CLASS = "kubernetes.io/ingress.class"
_NGINX = "nginx.ingress.kubernetes.io/"

# Ambassador's own default for Mappings without timeout_ms.
_TIMEOUT_MS = 3000
# What the operator writes as prefix of every gRPC Mapping: constants.GRPCRegExMatchAmbassador. The headers beside it
# tell deployments apart, so the route matches by those alone.
OPERATOR_GRPC_PREFIX = "/(seldon.protos.*|tensorflow.serving.*|inference.*)/.*"

_NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SERVICE = re.compile(
    rf"(?:http://)?(?P<name>{_NAME})(?:\.(?P<namespace>{_NAME})(?:\.svc(?:\.cluster\.local)?)?)?(?::(?P<port>\d{{1,5}}))?"
)
# Bodywork 2: "/NS/PROJECT--STAGE(/|$)(.*)" with rewrite-target "/$2": what follows the prefix is what the service sees.
_STRIPPED = re.compile(r"(?P<prefix>/[^()|$*+?\[\]{}\\^]*?)/?\(/\|\$\)\(\.\*\)")
_PLAIN_PATH = re.compile(r"/[^()|$*+?\[\]{}\\^]*")
_REWRITE_TO_SECOND = "/$2"

# Ambassador's percentages, and the highest weight of the Gateway API.
_WHOLE = 100
_DNS_LABEL_MAX = 63

Reason = Literal["Malformed", "Unsupported", "Conflict", "NotKept", "OtherGateway"]


@dataclass(frozen=True)
class Parent:
    """The Gateway that routes attach to."""

    name: str = "ambassador"
    namespace: str = "ambassador"


@dataclass(frozen=True)
class Source:
    """The object something was read from; an owner of the routes made from it."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind} '{self.namespace}/{self.name}'"

    def owner(self) -> dict[str, str]:
        """Return the owner reference: with the object goes the route, whether or not the controller runs."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}


@dataclass(frozen=True)
class Problem:
    """Something that was written and is not, or not exactly, routed.

    Args:
        source: the object it was written on.
        subject: which part of it, e.g. ``Mapping 'seldon_demo_app_default_rest_mapping'``.
        reason: ``NotKept`` when the rest of it is routed, anything else when none of it is.
        message: what is the matter.
        prefix: the path prefix it is about, as far as one could be read.
    """

    source: Source
    subject: str
    reason: Reason
    message: str
    prefix: str = ""

    def __str__(self) -> str:
        outcome = "routed, but" if self.reason == "NotKept" else "not routed:"
        prefix = f" (prefix '{self.prefix}')" if self.prefix else ""
        return f"{self.subject}{prefix} of {self.source} is {outcome} {self.message}"


@dataclass(frozen=True)
class Translation:
    """What a set of objects becomes.

    Args:
        routes: HTTPRoutes and GRPCRoutes, complete but for what the server adds, sorted by namespace and name.
        problems: what is not routed.
    """

    routes: tuple[Body, ...]
    problems: tuple[Problem, ...]


class _RefusedError(Exception):
    """Ends the reading of one part of an object."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason: Reason = reason
        self.message = message
        super().__init__(message)


def translate(services: Iterable[Body], ingresses: Iterable[Body] = (), parent: Parent | None = None) -> Translation:
    """Return the routes that `services` and `ingresses` ask for.

    Args:
        services: Services of all namespaces, as the API server sends them.
        ingresses: Ingresses, networking.k8s.io/v1 or extensions/v1beta1; those of another class are left alone.
        parent: the Gateway to attach to.
    """
    parent = parent or Parent()
    services = list(services)
    problems: list[Problem] = []
    groups: dict[tuple[object, ...], list[_Mapping]] = {}
    for service in services:
        for mapping in _read_mappings(service, problems):
            groups.setdefault(mapping.key, []).append(mapping)
    routes = [route for group in groups.values() for route in _route_of_group(group, parent, problems)]
    ports = {_key(service): _named_ports(service) for service in services}
    for ingress in ingresses:
        routes += _routes_of_ingress(ingress, ports, parent, problems)
    routes.sort(key=lambda route: (route["metadata"]["namespace"], route["metadata"]["name"]))
    return Translation(tuple(routes), tuple(problems))


# --- Ambassador's Mappings ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mapping:
    source: Source
    name: str
    prefix: str
    service: str
    port: int
    is_regex: bool = False
    rewrite: str = "/"
    timeout_ms: int = _TIMEOUT_MS
    weight: int | None = None
    is_grpc: bool = False
    is_shadow: bool = False
    # (name, type, value) of each header match.
    headers: tuple[tuple[str, str, str], ...] = ()
    not_kept: tuple[str, ...] = field(default=(), compare=False)

    @property
    def key(self) -> tuple[object, ...]:
        """What Mappings have in common that share their requests by weight."""
        return (self.source.namespace, self.is_grpc, self.is_regex, self.prefix, self.headers)

    @property
    def subject(self) -> str:
        return f"Mapping '{self.name}'"

    def problem(self, reason: Reason, message: str) -> Problem:
        return Problem(self.source, self.subject, reason, message, self.prefix)

    def backend(self, weight: int | None = None) -> dict[str, Any]:
        ref: dict[str, Any] = {"name": self.service, "port": self.port}
        return ref if weight is None else {**ref, "weight": weight}


def _read_mappings(service: Body, problems: list[Problem]) -> Iterator[_Mapping]:
    text = (service["metadata"].get("annotations") or {}).get(AMBASSADOR_CONFIG)
    if not text:
        return
    source = _source(service, "v1", "Service")
    try:
        # The operator leaves a document empty where it has nothing to say about TLS.
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        problems.append(Problem(source, f"annotation {AMBASSADOR_CONFIG}", "Malformed", f"no YAML: {error}"))
        return
    for document in documents:
        said = document if isinstance(document, dict) else {}
        subject = f"{said.get('kind', 'document')} '{said.get('name', 'without a name')}'"
        try:
            mapping = _read_mapping(document, source)
        except _RefusedError as refusal:
            prefix = str(said.get("prefix", ""))
            problems.append(Problem(source, subject, refusal.reason, refusal.message, prefix))
        else:
            problems += [mapping.problem("NotKept", message) for message in mapping.not_kept]
            yield mapping


# What a Mapping may say. Fields that only tune are accepted and reported as not kept.
_ROUTED = {
    *("apiVersion", "kind", "name", "ambassador_id", "service", "weight", "shadow", "timeout_ms"),
    *("prefix", "prefix_regex", "rewrite", "grpc", "headers", "regex_headers"),
}
_TUNING = {
    "retry_policy": "requests are not tried again",
    "circuit_breakers": "the number of connections and requests is not limited",
    "idle_timeout_ms": "connections are limited by timeout_ms alone",
}


def _read_mapping(document: Any, source: Source) -> _Mapping:
    _check_addressed_here(document)
    service, port = _backend(document, source.namespace)
    rewrite = document.get("rewrite", "/")
    if not isinstance(rewrite, str) or (rewrite and not rewrite.startswith("/")):
        raise _RefusedError("Malformed", f"rewrite {rewrite!r} is neither empty nor a path")
    mapping = _Mapping(
        source,
        _text(document, "name"),
        _text(document, "prefix"),
        service,
        port,
        is_regex=_flag(document, "prefix_regex"),
        rewrite=rewrite,
        timeout_ms=_number(document, "timeout_ms", _TIMEOUT_MS),
        weight=_number(document, "weight", None, at_most=_WHOLE),
        is_grpc=_flag(document, "grpc"),
        is_shadow=_flag(document, "shadow"),
        headers=_headers(document),
        not_kept=tuple(f"{name} is not kept: {_TUNING[name]}" for name in _TUNING if name in document),
    )
    if not mapping.prefix.startswith("/"):
        raise _RefusedError("Malformed", f"prefix {mapping.prefix!r} does not start with a slash")
    if mapping.is_grpc:
        _check_grpc(mapping)
    return mapping


def _check_addressed_here(document: Any) -> None:
    if not isinstance(document, dict):
        raise _RefusedError("Malformed", f"a document is {type(document).__name__}, not a mapping of fields")
    version, kind = document.get("apiVersion"), document.get("kind")
    if (version, kind) != ("ambassador/v1", "Mapping"):
        raise _RefusedError("Unsupported", f"only ambassador/v1 Mappings are translated, this is {version} {kind}")
    other = document.get("ambassador_id", "default")
    if other not in ("default", ["default"]):
        raise _RefusedError("OtherGateway", f"it is addressed to the Ambassador called {other!r}")
    unknown = sorted(map(str, set(document) - _ROUTED - set(_TUNING)))
    if unknown:
        raise _RefusedError("Unsupported", f"nothing is known of {', '.join(map(repr, unknown))}")


def _backend(document: Body, namespace: str) -> tuple[str, int]:
    """Return name and port of the Service that a Mapping in `namespace` sends to."""
    service = _SERVICE.fullmatch(_text(document, "service"))
    port = int(service["port"] or 80) if service else 0
    if service is None or not 1 <= port <= 65535:  # noqa: PLR2004 - the range of ports
        raise _RefusedError("Unsupported", f"service {document['service']!r} is not NAME[.NAMESPACE][:PORT] over http")
    if (service["namespace"] or namespace) != namespace:
        # The route lives beside its backend and is owned by the Service: both must be in one namespace.
        raise _RefusedError("Unsupported", f"it sends to namespace '{service['namespace']}' and stands in another")
    return service["name"], port


def _check_grpc(mapping: _Mapping) -> None:
    # Contour matches gRPC methods only by full name, so nothing but the headers can tell deployments apart.
    if (mapping.is_regex, mapping.prefix) != (True, OPERATOR_GRPC_PREFIX):
        message = f"of gRPC prefixes only the operator's {OPERATOR_GRPC_PREFIX!r} is known, this is {mapping.prefix!r}"
        raise _RefusedError("Unsupported", message)
    if mapping.rewrite:
        raise _RefusedError("Unsupported", "a GRPCRoute cannot rewrite: write rewrite: ''")
    if not mapping.headers:
        raise _RefusedError("Unsupported", "without headers it would take the gRPC requests of every deployment")


def _text(document: Body, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise _RefusedError("Malformed", f"{name} is {value!r}, not a text")
    return value


def _flag(document: Body, name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise _RefusedError("Malformed", f"{name} is {value!r}, not true or false")
    return value


def _number(document: Body, name: str, default: Any, *, at_most: int = 86_400_000) -> Any:
    value = document.get(name, default)
    if value is not default and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= at_most):
        raise _RefusedError("Malformed", f"{name} is {value!r}, not a whole number from 0 to {at_most}")
    return value


def _headers(document: Body) -> tuple[tuple[str, str, str], ...]:
    found: list[tuple[str, str, str]] = []
    for key, kind in (("headers", "Exact"), ("regex_headers", "RegularExpression")):
        headers = document.get(key, {})
        if not isinstance(headers, dict) or not all(isinstance(name, str) and name for name in headers):
            raise _RefusedError("Malformed", f"{key} is {headers!r}, not a mapping of names to values")
        for name, value in headers.items():
            if value is True:  # Ambassador: the header is there, whatever it says
                found.append((name, "RegularExpression", ".*"))
            elif isinstance(value, str) and value:
                found.append((name, kind, value))
            else:
                raise _RefusedError("Malformed", f"header {name!r} is {value!r}, not a text")
    return tuple(sorted(found))


def _route_of_group(group: Sequence[_Mapping], parent: Parent, problems: list[Problem]) -> list[Body]:
    """Return the one route of Mappings that match the same requests, or none."""
    members = sorted((one for one in group if not one.is_shadow), key=lambda one: (one.source.name, one.name))
    shadows = sorted((one for one in group if one.is_shadow), key=lambda one: (one.source.name, one.name))
    first = (members or shadows)[0]
    if not members:
        problems += [one.problem("Conflict", "there is nothing with this prefix to shadow") for one in shadows]
        return []
    rewrites = {one.rewrite for one in members}
    if len(rewrites) > 1:
        seen = ", ".join(f"{one.name}: {one.rewrite!r}" for one in members)
        told = f"they share a prefix and rewrite it differently: {seen}"
        problems += [one.problem("Conflict", told) for one in members]
        return []
    weights = _weights(members)
    if weights is None:
        told = ", ".join(f"{one.name}: {one.weight}" for one in members if one.weight is not None)
        problems += [one.problem("Conflict", f"weights exceed {_WHOLE} together: {told}") for one in members]
        return []
    if len({one.timeout_ms for one in members}) > 1:
        longest = max(one.timeout_ms for one in members)
        problems.append(first.problem("NotKept", f"timeouts of one prefix differ: all get {longest} ms"))
    single = len(members) == 1
    rule: dict[str, Any] = {
        "matches": [_match(first)],
        "backendRefs": [one.backend(None if single else weight) for one, weight in zip(members, weights, strict=True)],
    }
    filters = _rewriting(first) + [
        {"type": "RequestMirror", "requestMirror": {"backendRef": one.backend()}} for one in shadows
    ]
    if filters:
        rule["filters"] = filters
    if not first.is_grpc:
        rule["timeouts"] = {"request": _duration(max(one.timeout_ms for one in members))}
    return [
        _route(
            "GRPCRoute" if first.is_grpc else "HTTPRoute",
            _route_name(first),
            [one.source for one in (*members, *shadows)],
            {"rules": [rule]},
            parent,
            stand_in_for="ambassador",
        )
    ]


def _weights(members: Sequence[_Mapping]) -> list[int] | None:
    """Return the members' shares in whole numbers; ``None`` when they ask for more than everything.

    Ambassador: what the weighted ones leave of 100 is shared evenly by those without a weight. The operator writes no
    weight for a deployment's first predictor, nor for one whose traffic is 0.
    """
    asked = sum(one.weight for one in members if one.weight is not None)
    if asked > _WHOLE:
        return None
    rest = sum(one.weight is None for one in members)
    # All shares are multiplied by the number that the rest is divided by, so that they stay whole.
    return [_WHOLE - asked if one.weight is None else one.weight * max(rest, 1) for one in members]


def _match(mapping: _Mapping) -> dict[str, Any]:
    match: dict[str, Any] = {}
    if not mapping.is_grpc:
        kind = "RegularExpression" if mapping.is_regex else "PathPrefix"
        match["path"] = {"type": kind, "value": mapping.prefix}
    if mapping.headers:
        match["headers"] = [{"name": name, "type": kind, "value": value} for name, kind, value in mapping.headers]
    return match


def _rewriting(mapping: _Mapping) -> list[dict[str, Any]]:
    # Ambassador rewrites neither what an empty rewrite nor what a regular expression matches.
    if mapping.is_grpc or mapping.is_regex or mapping.rewrite in ("", mapping.prefix):
        return []
    return [_replace_prefix(mapping.rewrite)]


def _replace_prefix(replacement: str) -> dict[str, Any]:
    path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": replacement}
    return {"type": "URLRewrite", "urlRewrite": {"path": path}}


def _route_name(mapping: _Mapping) -> str:
    words = ["grpc" if mapping.is_grpc else "http"]
    words += [value for _, _, value in mapping.headers] if mapping.is_grpc else [mapping.prefix]
    return _name(*words, unique=mapping.key)


# --- Ingresses of class nginx ------------------------------------------------------------------------------------


# nginx's proxy_next_upstream, "error timeout", as ingress-nginx leaves it: a request whose connection is refused goes
# to another pod, whatever its method, for nothing has been sent yet (ingress-nginx 1.12, configmap.md; nginx,
# ngx_http_proxy_module). The Gateway API's own field for it is one that Contour 1.33 does not read; Envoy reads these
# headers, and keeps them to itself. nginx has three tries, which as a rule meet three pods; Envoy's next try may meet
# the same pod again while others ask beside it, so it has more.
_NEXT_UPSTREAM = {
    "type": "RequestHeaderModifier",
    "requestHeaderModifier": {
        "set": [
            {"name": "x-envoy-retry-on", "value": "connect-failure"},
            {"name": "x-envoy-max-retries", "value": "8"},
        ]
    },
}

# Annotations that say nothing beyond what the path says, or that have no meaning without TLS.
_SILENT = frozenset({"rewrite-target", "use-regex", "ssl-redirect", "force-ssl-redirect"})


def _routes_of_ingress(
    ingress: Body, ports: Mapping[tuple[str, str], Mapping[str, int]], parent: Parent, problems: list[Problem]
) -> Iterator[Body]:
    metadata, spec = ingress["metadata"], ingress.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    if (annotations.get(INGRESS_CLASS) or spec.get("ingressClassName")) != "nginx":
        return
    source = _source(ingress, "networking.k8s.io/v1", "Ingress")
    own = {key.removeprefix(_NGINX): value for key, value in annotations.items() if key.startswith(_NGINX)}
    problems += [
        Problem(source, f"annotation {_NGINX}{name}", "NotKept", "nothing is known of it")
        for name in sorted(set(own) - _SILENT)
    ]
    if spec.get("tls"):
        problems.append(Problem(source, "its tls", "NotKept", "this gateway speaks plain http"))
    if spec.get("defaultBackend") or spec.get("backend"):
        problems.append(Problem(source, "its default backend", "Unsupported", "only paths are translated"))
    hosts: dict[str, list[dict[str, Any]]] = {}
    for rule in spec.get("rules") or ():
        for item in (rule.get("http") or {}).get("paths") or ():
            path = str(item.get("path") or "/")
            try:
                made = _ingress_rule(item, path, own.get("rewrite-target"), ports, source.namespace)
            except _RefusedError as refusal:
                problems.append(Problem(source, f"path '{path}'", refusal.reason, refusal.message))
            else:
                hosts.setdefault(rule.get("host") or "", []).append(made)
    for host, rules in hosts.items():
        name = _name("ingress", source.name, host, unique=("ingress", source.name, host))
        spec_of_route: dict[str, Any] = {"hostnames": [host]} if host else {}
        spec_of_route["rules"] = rules
        yield _route("HTTPRoute", name, [source], spec_of_route, parent, stand_in_for="ingress-nginx")


def _ingress_rule(
    item: Body,
    path: str,
    rewrite: str | None,
    ports: Mapping[tuple[str, str], Mapping[str, int]],
    namespace: str,
) -> dict[str, Any]:
    backend = item.get("backend") or {}
    service = backend.get("service") or {}
    name = service.get("name") or backend.get("serviceName")
    if not name:
        raise _RefusedError("Unsupported", "its backend is no Service")
    asked = backend.get("servicePort") or (service.get("port") or {}).get("number")
    asked = asked or (service.get("port") or {}).get("name")
    port = asked if isinstance(asked, int) else ports.get((namespace, name), {}).get(str(asked))
    if port is None:
        raise _RefusedError("Unsupported", f"service '{name}' has no port called {asked!r}")
    stripped, is_plain = _STRIPPED.fullmatch(path), _PLAIN_PATH.fullmatch(path)
    rule: dict[str, Any] = {"backendRefs": [{"name": name, "port": port}], "filters": [_NEXT_UPSTREAM]}
    if stripped and rewrite == _REWRITE_TO_SECOND:
        rule["matches"] = [{"path": {"type": "PathPrefix", "value": stripped["prefix"]}}]
        rule["filters"] = [_NEXT_UPSTREAM, _replace_prefix("/")]
    elif is_plain and rewrite is None:
        kind = "Exact" if item.get("pathType") == "Exact" else "PathPrefix"
        rule["matches"] = [{"path": {"type": kind, "value": path}}]
    else:
        raise _RefusedError(
            "Unsupported",
            f"with rewrite-target {rewrite!r} it is neither a plain path without one nor '/PREFIX(/|$)(.*)' with '/$2'",
        )
    return rule


def _named_ports(service: Body) -> dict[str, int]:
    return {port["name"]: port["port"] for port in service.get("spec", {}).get("ports") or () if port.get("name")}


# --- documents ---------------------------------------------------------------------------------------------------


def _route(
    kind: str, name: str, sources: Sequence[Source], spec: Body, parent: Parent, *, stand_in_for: str
) -> dict[str, Any]:
    owners = {source.uid: source.owner() for source in sources}
    meaning = {
        "labels": MANAGED_BY,
        "ownerReferences": [owners[uid] for uid in sorted(owners)],
        "spec": {"parentRefs": [{"name": parent.name, "namespace": parent.namespace}], **spec},
    }
    digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "apiVersion": ROUTE_VERSION,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": sources[0].namespace,
            "labels": dict(MANAGED_BY),
            "annotations": {DIGEST: digest, STAND_IN_FOR: stand_in_for},
            "ownerReferences": meaning["ownerReferences"],
        },
        "spec": meaning["spec"],
    }


def _name(*words: str, unique: object) -> str:
    """Return a DNS label that tells people what it is and differs for whatever `unique` differs for."""
    digest = hashlib.sha256(repr(unique).encode()).hexdigest()[:8]
    text = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
    return f"{text[: _DNS_LABEL_MAX - len(digest) - 1].rstrip('-')}-{digest}"


def _source(item: Body, api_version: str, kind: str) -> Source:
    metadata = item["metadata"]
    # Items of a list do not say what they are.
    return Source(
        item.get("apiVersion") or api_version, kind, metadata["namespace"], metadata["name"], metadata.get("uid", "")
    )


def _key(item: Body) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _duration(milliseconds: int) -> str:
    """Return a Gateway API duration (GEP-2257: at most five digits per unit); 0 means no limit.

    >>> _duration(3500)
    '3s500ms'
    """
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds}s" + (f"{rest}ms" if rest else "")
