"""Translation of Ambassador's Mappings and nginx's Ingresses into routes of the Gateway API."""

from __future__ import annotations

from typing import Any

import pytest

from harness.gateway.routes import AMBASSADOR_CONFIG, OPERATOR_GRPC_PREFIX, Parent, Translation, translate

# What operator v1.16.0 writes for a deployment "app" in namespace "demo" whose only predictor is "default".
OPERATOR = """---
apiVersion: ambassador/v1
kind: Mapping
name: seldon_demo_app_default_rest_mapping
prefix: /seldon/demo/app/
rewrite: /
service: app-default.demo:9000
timeout_ms: 3000
---
apiVersion: ambassador/v1
kind: Mapping
name: seldon_demo_app_default_grpc_mapping
grpc: true
prefix: /(seldon.protos.*|tensorflow.serving.*|inference.*)/.*
prefix_regex: true
rewrite: ""
service: app-default.demo:9500
timeout_ms: 3000
headers:
  namespace: demo
  seldon: app
---
"""


def service(text: str, name: str = "app-default", namespace: str = "demo") -> dict[str, Any]:
    """A Service that bears an annotation."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{name}",
            "annotations": {AMBASSADOR_CONFIG: text},
        },
        "spec": {"ports": [{"name": "http", "port": 9000}]},
    }


def mapping(**fields: object) -> str:
    """A Mapping with these fields, ``None`` leaving one out."""
    said: dict[str, object] = {
        "apiVersion": "ambassador/v1",
        "kind": "Mapping",
        "name": "m",
        "prefix": "/p/",
        "service": "app-default.demo:9000",
        **fields,
    }
    return "---\n" + "\n".join(f"{key}: {value}" for key, value in said.items() if value is not None) + "\n"


def rule(translation: Translation) -> Any:
    """The only rule of the only route."""
    assert translation.problems == ()
    (route,) = translation.routes
    (only,) = route["spec"]["rules"]
    return only


def test_the_operators_rest_mapping_becomes_a_route_that_takes_its_prefix_off() -> None:
    """Prefix, rewrite, backend, time limit, Gateway and owner are all kept."""
    http = next(route for route in translate([service(OPERATOR)]).routes if route["kind"] == "HTTPRoute")
    assert http["spec"] == {
        "parentRefs": [{"name": "ambassador", "namespace": "ambassador"}],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/seldon/demo/app/"}}],
                "backendRefs": [{"name": "app-default", "port": 9000}],
                "filters": [
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                    }
                ],
                "timeouts": {"request": "3s"},
            }
        ],
    }
    assert http["metadata"]["namespace"] == "demo"
    assert http["metadata"]["name"].startswith("http-seldon-demo-app-")
    assert http["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Service", "name": "app-default", "uid": "uid-of-app-default"}
    ]


def test_the_operators_grpc_mapping_becomes_a_route_by_headers() -> None:
    """The headers tell deployments apart; a GRPCRoute has neither rewrite nor time limit."""
    translation = translate([service(OPERATOR)])
    assert translation.problems == ()
    grpc = next(route for route in translation.routes if route["kind"] == "GRPCRoute")
    assert grpc["spec"]["rules"] == [
        {
            "matches": [
                {
                    "headers": [
                        {"name": "namespace", "type": "Exact", "value": "demo"},
                        {"name": "seldon", "type": "Exact", "value": "app"},
                    ]
                }
            ],
            "backendRefs": [{"name": "app-default", "port": 9500}],
        }
    ]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((None, 25), [75, 25], id="the first predictor gets what the second leaves"),
        pytest.param((75, 25), [75, 25], id="all weights given"),
        pytest.param((None, None), [100, 100], id="no weights are equal shares"),
        pytest.param((None, 100), [0, 100], id="everything to the second"),
        pytest.param((None, None, 33), [67, 67, 66], id="a rest that does not divide evenly"),
    ],
)
def test_predictors_of_one_deployment_share_a_route_by_weight(
    weights: tuple[int | None, ...], expected: list[int]
) -> None:
    """One route, owned by every Service, with whole numbers in the proportions that Ambassador gives."""
    services = [
        service(mapping(service=f"s{n}.demo:9000", weight=weight), name=f"s{n}") for n, weight in enumerate(weights)
    ]
    translation = translate(services)
    backends = rule(translation)["backendRefs"]
    assert [(one["name"], one["weight"]) for one in backends] == [(f"s{n}", w) for n, w in enumerate(expected)]
    assert [owner["name"] for owner in translation.routes[0]["metadata"]["ownerReferences"]] == [
        f"s{n}" for n in range(len(weights))
    ]


def test_a_shadow_gets_copies() -> None:
    """A Mapping with ``shadow`` mirrors the requests of the one with its prefix and takes none."""
    services = [
        service(mapping(), name="a"),
        service(mapping(service="b.demo:9000", shadow="true", weight=100), name="b"),
    ]
    made = rule(translate(services))
    assert made["backendRefs"] == [{"name": "app-default", "port": 9000}]
    assert {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "b", "port": 9000}}} in made["filters"]


@pytest.mark.parametrize(
    ("fields", "key", "expected"),
    [
        pytest.param({"timeout_ms": 3500}, "timeouts", {"request": "3s500ms"}, id="odd milliseconds"),
        pytest.param({"timeout_ms": 0}, "timeouts", {"request": "0s"}, id="no limit"),
        pytest.param({"timeout_ms": None}, "timeouts", {"request": "3s"}, id="Ambassador's default limit"),
        pytest.param({"rewrite": '""'}, "filters", None, id="an empty rewrite leaves the path"),
        pytest.param({"prefix": "/", "rewrite": "/"}, "filters", None, id="nothing to rewrite"),
        pytest.param({"service": "a"}, "backendRefs", [{"name": "a", "port": 80}], id="a service without port"),
        pytest.param(
            {"service": "http://a.demo.svc.cluster.local:1"},
            "backendRefs",
            [{"name": "a", "port": 1}],
            id="a full name",
        ),
        pytest.param(
            {"prefix": "/a.*", "prefix_regex": "true"},
            "matches",
            [{"path": {"type": "RegularExpression", "value": "/a.*"}}],
            id="a regular expression",
        ),
        pytest.param(
            {"headers": "{x: y, z: true}", "regex_headers": "{r: a+}"},
            "matches",
            [
                {
                    "path": {"type": "PathPrefix", "value": "/p/"},
                    "headers": [
                        {"name": "r", "type": "RegularExpression", "value": "a+"},
                        {"name": "x", "type": "Exact", "value": "y"},
                        {"name": "z", "type": "RegularExpression", "value": ".*"},
                    ],
                }
            ],
            id="headers",
        ),
    ],
)
def test_what_a_mapping_may_say(fields: dict[str, object], key: str, expected: object) -> None:
    """Each field that routes has its counterpart."""
    assert rule(translate([service(mapping(**fields))])).get(key) == expected


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        pytest.param("a: [", "Malformed", "no YAML", id="no YAML"),
        pytest.param("---\njust words\n", "Malformed", "is str, not a mapping", id="no mapping"),
        pytest.param(mapping(kind="TLSContext"), "Unsupported", "ambassador/v1 TLSContext", id="another kind"),
        pytest.param(mapping(apiVersion="x/v1"), "Unsupported", "this is x/v1 Mapping", id="another version"),
        pytest.param(mapping(ambassador_id="internal"), "OtherGateway", "'internal'", id="another Ambassador"),
        pytest.param(mapping(host="a.b", method="GET"), "Unsupported", "'host', 'method'", id="unknown fields"),
        pytest.param(mapping(tls="true"), "Unsupported", "'tls'", id="TLS to the service"),
        pytest.param(mapping(service="https://a"), "Unsupported", "not NAME[.NAMESPACE]", id="https"),
        pytest.param(mapping(service="a:99999"), "Unsupported", "not NAME[.NAMESPACE]", id="no port"),
        pytest.param(
            mapping(service="a.other:1"), "Unsupported", "namespace 'other'", id="another namespace's service"
        ),
        pytest.param(mapping(service=None), "Malformed", "service is None", id="no service"),
        pytest.param(mapping(prefix="p"), "Malformed", "does not start with a slash", id="no path"),
        pytest.param(mapping(rewrite="x"), "Malformed", "rewrite 'x'", id="a rewrite that is no path"),
        pytest.param(mapping(weight=101), "Malformed", "from 0 to 100", id="a weight above 100"),
        pytest.param(mapping(weight="true"), "Malformed", "weight is True", id="a weight that is no number"),
        pytest.param(mapping(timeout_ms="3s"), "Malformed", "timeout_ms is '3s'", id="a time with a unit"),
        pytest.param(mapping(shadow="1"), "Malformed", "shadow is 1", id="no flag"),
        pytest.param(mapping(headers="[x]"), "Malformed", "headers is ['x']", id="headers as a list"),
        pytest.param(mapping(headers="{x: 1}"), "Malformed", "header 'x' is 1", id="a header that is no text"),
        pytest.param(mapping(shadow="true"), "Conflict", "nothing with this prefix to shadow", id="a lonely shadow"),
        pytest.param(mapping(grpc="true"), "Unsupported", "gRPC prefixes", id="a gRPC prefix of one's own"),
        pytest.param(
            mapping(grpc="true", prefix_regex="true", prefix=OPERATOR_GRPC_PREFIX),
            "Unsupported",
            "cannot rewrite",
            id="a gRPC rewrite",
        ),
        pytest.param(
            mapping(grpc="true", prefix_regex="true", prefix=OPERATOR_GRPC_PREFIX, rewrite='""'),
            "Unsupported",
            "every deployment",
            id="gRPC for everybody",
        ),
    ],
)
def test_what_is_not_routed_is_said(text: str, reason: str, message: str) -> None:
    """No route, and one problem that names the Service and what is the matter."""
    translation = translate([service(text)])
    assert translation.routes == ()
    (problem,) = translation.problems
    assert (problem.reason, problem.source.name) == (reason, "app-default")
    assert message in str(problem)
    assert "Service 'demo/app-default'" in str(problem)
    assert "not routed" in str(problem)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        pytest.param({"weight": 60}, "weights exceed 100", id="weights above 100"),
        pytest.param({"weight": 10, "rewrite": "/x/"}, "rewrite it differently", id="two rewrites"),
    ],
)
def test_mappings_that_contradict_each_other_are_all_refused(others: dict[str, object], message: str) -> None:
    """Neither wins: each gets a problem."""
    services = [service(mapping(weight=60), name="a"), service(mapping(service="b.demo:9000", **others), name="b")]
    translation = translate(services)
    assert translation.routes == ()
    assert [message in problem.message for problem in translation.problems] == [True, True]
    assert {problem.reason for problem in translation.problems} == {"Conflict"}


@pytest.mark.parametrize("field", ["retry_policy", "circuit_breakers", "idle_timeout_ms"])
def test_what_only_tunes_is_routed_and_reported(field: str) -> None:
    """The route is made; what it leaves out is a problem of its own kind."""
    translation = translate([service(mapping(**{field: "400000"}))])
    assert len(translation.routes) == 1
    assert [problem.reason for problem in translation.problems] == ["NotKept"]
    assert "routed, but" in str(translation.problems[0])


def test_different_time_limits_of_one_prefix_become_the_longest() -> None:
    """A rule has one limit: the shorter one is reported as not kept."""
    services = [service(mapping(weight=10, timeout_ms=ms, service=f"s{ms}"), name=f"s{ms}") for ms in (1000, 2000)]
    translation = translate(services)
    assert translation.routes[0]["spec"]["rules"][0]["timeouts"] == {"request": "2s"}
    assert [problem.reason for problem in translation.problems] == ["NotKept"]


def test_names_and_digests_are_the_same_every_time_and_differ_when_the_meaning_does() -> None:
    """Equal Services give equal documents in whatever order; another backend is another digest under the same name."""
    a, b = service(mapping(prefix="/a/"), name="a"), service(mapping(prefix="/b/"), name="b")
    assert translate([a, b]) == translate([b, a])
    first, second = translate([a, b]).routes
    assert first["metadata"]["name"] != second["metadata"]["name"]
    (changed,) = translate([service(mapping(prefix="/a/", service="new"), name="a")]).routes
    assert changed["metadata"]["name"] == first["metadata"]["name"]
    assert changed["metadata"]["annotations"] != first["metadata"]["annotations"]


def test_a_long_prefix_still_gives_a_dns_label() -> None:
    """Names are cut to 63 characters and stay apart by their digest."""
    names = {
        route["metadata"]["name"]
        for route in translate([service(mapping(prefix=f"/{'x' * 90}/{n}/"), name=f"s{n}") for n in range(2)]).routes
    }
    assert len(names) == 2
    assert all(len(name) <= 63 for name in names)


def test_another_gateway_may_be_the_parent() -> None:
    """The parent is an argument."""
    (route,) = translate([service(mapping())], parent=Parent("gate", "front")).routes
    assert route["spec"]["parentRefs"] == [{"name": "gate", "namespace": "front"}]


def test_a_service_without_annotation_asks_for_nothing() -> None:
    """Neither a route nor a problem."""
    assert translate([{"metadata": {"name": "x", "namespace": "demo"}, "spec": {}}]) == Translation((), ())


# --- Ingresses ---------------------------------------------------------------------------------------------------

V1 = {"service": {"name": "app-default", "port": {"number": 9000}}}
BETA = {"serviceName": "app-default", "servicePort": 9000}
STRIPPING = "/demo/app--stage(/|$)(.*)"


def ingress(
    path: str = STRIPPING,
    *,
    backend: object = None,
    rewrite: str | None = "/$2",
    annotations: dict[str, str] | None = None,
    path_type: str = "ImplementationSpecific",
    **spec: object,
) -> dict[str, Any]:
    """An Ingress as Bodywork writes it."""
    said = {"kubernetes.io/ingress.class": "nginx", **(annotations or {})}
    if rewrite is not None:
        said["nginx.ingress.kubernetes.io/rewrite-target"] = rewrite
    item = {"path": path, "pathType": path_type, "backend": backend or V1}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": "app--stage", "namespace": "demo", "uid": "u", "annotations": said},
        "spec": {"rules": [{"http": {"paths": [item]}}], **spec},
    }


# As nginx does: a request whose connection is refused goes to another pod.
ANOTHER_POD = {
    "type": "RequestHeaderModifier",
    "requestHeaderModifier": {
        "set": [
            {"name": "x-envoy-retry-on", "value": "connect-failure"},
            {"name": "x-envoy-max-retries", "value": "8"},
        ]
    },
}


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(V1, id="networking.k8s.io/v1"),
        pytest.param(BETA, id="extensions/v1beta1"),
        pytest.param({"service": {"name": "app-default", "port": {"name": "http"}}}, id="v1 with a port's name"),
        pytest.param({"serviceName": "app-default", "servicePort": "http"}, id="v1beta1 with a port's name"),
    ],
)
def test_bodyworks_ingress_becomes_a_route_that_takes_its_prefix_off(backend: object) -> None:
    """Both forms of the API mean the same."""
    translation = translate([service("")], [ingress(backend=backend)])
    assert rule(translation) == {
        "backendRefs": [{"name": "app-default", "port": 9000}],
        "matches": [{"path": {"type": "PathPrefix", "value": "/demo/app--stage"}}],
        "filters": [
            ANOTHER_POD,
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
        ],
    }
    assert translation.routes[0]["metadata"]["ownerReferences"][0]["kind"] == "Ingress"


@pytest.mark.parametrize(
    ("path_type", "expected"), [("Prefix", "PathPrefix"), ("ImplementationSpecific", "PathPrefix"), ("Exact", "Exact")]
)
def test_a_plain_path_stays_as_it_is(path_type: str, expected: str) -> None:
    """Without a rewrite-target nothing is rewritten."""
    made = rule(translate([], [ingress("/a", rewrite=None, path_type=path_type)]))
    assert made["matches"] == [{"path": {"type": expected, "value": "/a"}}]
    assert made["filters"] == [ANOTHER_POD]


def test_each_host_is_a_route() -> None:
    """Rules for different hosts do not mix."""
    made = ingress("/a", rewrite=None)
    made["spec"]["rules"] = [{**made["spec"]["rules"][0], "host": host} for host in ("a.test", "b.test")]
    assert sorted(route["spec"]["hostnames"] for route in translate([], [made]).routes) == [["a.test"], ["b.test"]]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(ingress(annotations={"kubernetes.io/ingress.class": "traefik"}), id="another class"),
        pytest.param({"metadata": {"name": "x", "namespace": "demo"}, "spec": {}}, id="no class"),
    ],
)
def test_an_ingress_of_another_class_is_left_alone(other: dict[str, Any]) -> None:
    """Neither a route nor a problem: it is somebody else's."""
    assert translate([], [other]) == Translation((), ())


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        pytest.param(ingress("/a(.*)"), "neither a plain path", id="another expression"),
        pytest.param(ingress(rewrite="/$1"), "rewrite-target '/$1'", id="another rewrite"),
        pytest.param(ingress("/a", rewrite="/"), "rewrite-target '/'", id="a rewrite of a plain path"),
        pytest.param(ingress(backend={"resource": {}}), "no Service", id="a backend that is no Service"),
        pytest.param(
            ingress(backend={"serviceName": "x", "servicePort": "http"}), "no port called 'http'", id="an unknown port"
        ),
    ],
)
def test_a_path_that_is_not_routed_is_said(refused: dict[str, Any], message: str) -> None:
    """No route, and a problem that names the Ingress."""
    translation = translate([], [refused])
    assert translation.routes == ()
    assert [message in str(problem) for problem in translation.problems] == [True]
    assert "Ingress 'demo/app--stage'" in str(translation.problems[0])


@pytest.mark.parametrize(
    ("partly", "message"),
    [
        pytest.param(ingress(tls=[{"hosts": ["a"]}]), "plain http", id="TLS"),
        pytest.param(
            ingress(annotations={"nginx.ingress.kubernetes.io/limit-rps": "1"}), "limit-rps", id="another annotation"
        ),
        pytest.param(ingress(defaultBackend=V1), "default backend", id="a default backend"),
    ],
)
def test_what_an_ingress_says_besides_is_reported(partly: dict[str, Any], message: str) -> None:
    """Its path is routed; the rest is a problem."""
    translation = translate([], [partly])
    assert len(translation.routes) == 1
    assert [message in str(problem) for problem in translation.problems] == [True]
