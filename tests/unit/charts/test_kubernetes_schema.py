"""Objects against a schema."""

from __future__ import annotations

from typing import Any

import pytest

from harness.charts.kubernetes_schema import KubernetesSchema, Violation

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
DEFINITIONS: dict[str, Any] = {
    QUANTITY: {"type": "string"},
    "Port": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    "Anything": {"type": "object"},
    "Spec": {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string"},
            "replicas": {"type": "integer", "format": "int32"},
            "ratio": {"type": "number"},
            "on": {"type": "boolean"},
            "port": {"$ref": "#/definitions/Port"},
            "size": {"$ref": f"#/definitions/{QUANTITY}"},
            "args": {"type": "array", "items": {"type": "string"}},
            "parts": {"type": "array", "items": {"$ref": "#/definitions/Spec"}},
            "extra": {"$ref": "#/definitions/Anything"},
            "json": {},
        },
    },
    "Thing": {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
            "spec": {"$ref": "#/definitions/Spec"},
        },
        "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Thing"}],
    },
}
SCHEMA = KubernetesSchema("1.34", DEFINITIONS)


def _check(**spec: Any) -> list[tuple[str, str]]:
    body = {"apiVersion": "apps/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"image": "i", **spec}}
    return [(one.problem, one.path) for one in SCHEMA.check(body)]


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 2, "ratio": 1, "on": False, "args": ["a"], "port": 80, "size": "1.5Gi"},
        {"replicas": 2.0, "ratio": 0.5, "port": "http", "size": 2},
        {"replicas": None, "args": None, "parts": [{"image": "j"}]},
        {"extra": {"what": {"ever": 1}}, "json": [1, "a"], "size": "500m"},
        {"size": "1e3"},
        {"size": "-.5"},
    ],
    ids=["all types", "other spellings", "null is absent", "free form", "exponent", "fraction"],
)
def test_what_the_schema_allows_passes(spec: dict[str, Any]) -> None:
    """No violation."""
    assert _check(**spec) == []


@pytest.mark.parametrize(
    ("spec", "problem", "path"),
    [
        ({"replica": 1}, "unknown", "spec.replica"),
        ({"parts": [{"image": "a"}, {"image": "b", "on_": True}]}, "unknown", "spec.parts[1].on_"),
        ({"replicas": "2"}, "type", "spec.replicas"),
        ({"replicas": 1.5}, "type", "spec.replicas"),
        ({"replicas": True}, "type", "spec.replicas"),
        ({"image": 1}, "type", "spec.image"),
        ({"on": "yes"}, "type", "spec.on"),
        ({"args": "a"}, "type", "spec.args"),
        ({"args": [1]}, "type", "spec.args[0]"),
        ({"extra": []}, "type", "spec.extra"),
        ({"port": 1.5}, "type", "spec.port"),
        ({"port": False}, "type", "spec.port"),
        ({"size": []}, "type", "spec.size"),
        ({"size": "1 Gi"}, "value", "spec.size"),
        ({"size": "1GB"}, "value", "spec.size"),
        ({"image": None}, "required", "spec.image"),
    ],
)
def test_what_it_does_not_allow_is_named(spec: dict[str, Any], problem: str, path: str) -> None:
    """By kind and by path."""
    assert _check(**spec) == [(problem, path)]


def test_labels_must_be_strings() -> None:
    """The classic: an unquoted number or boolean among labels."""
    body = {"apiVersion": "apps/v1", "kind": "Thing", "metadata": {"labels": {"version": 1, "on": True}}}
    assert [one.path for one in SCHEMA.check(body)] == ["metadata.labels.version", "metadata.labels.on"]


def test_messages_say_what_to_do() -> None:
    """A near name, and quotes."""
    body = {"apiVersion": "apps/v1", "kind": "Thing", "spec": {"imge": "a", "image": 5000, "replicas": "2"}}
    assert SCHEMA.check(body) == (
        Violation("unknown", "spec.imge", 'unknown field "spec.imge"', "did you mean 'image'?"),
        Violation(
            "type",
            "spec.image",
            'wrong type for field "spec.image": a string is wanted, 5000 is a number',
            "quote it, e.g. with the template function quote",
        ),
        Violation(
            "type",
            "spec.replicas",
            "wrong type for field \"spec.replicas\": an integer is wanted, '2' is a string",
            "take away the quotes",
        ),
    )


CUSTOM = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "mode": {"type": "string", "enum": ["a", "b"]},
                "size": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "free": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": True,
                    "properties": {"a": {"type": "string"}},
                },
            },
        },
    },
}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"mode": "a", "size": 1, "port": "http", "free": {"b": 1}}, []),
        ({"mode": "c"}, [("value", "spec.mode")]),
        ({"size": 0}, [("value", "spec.size")]),
        ({"size": "1"}, [("type", "spec.size")]),
        ({"free": {"a": 1}}, [("type", "spec.free.a")]),
        ({"modus": "a"}, [("unknown", "spec.modus")]),
    ],
    ids=["good", "no such word", "at the excluded bound", "wrong type, said once", "inside free form", "unknown"],
)
def test_custom_objects_are_held_to_their_definition(spec: dict[str, Any], found: list[tuple[str, str]]) -> None:
    """Fields, types and values; metadata is Kubernetes' own."""
    body = {"apiVersion": "example.org/v1", "kind": "Model", "metadata": {"name": "x"}, "spec": spec}
    assert [(one.problem, one.path) for one in SCHEMA.check_custom(body, CUSTOM)] == found


def test_what_is_served_is_known_by_group_version_and_kind() -> None:
    """And which versions a kind has."""
    assert SCHEMA.serves("apps/v1", "Thing")
    assert not SCHEMA.serves("apps/v2", "Thing")
    assert SCHEMA.has_group("apps/v7")
    assert not SCHEMA.has_group("example.org/v1")
    assert SCHEMA.api_versions("Thing", "apps") == ["apps/v1"]
