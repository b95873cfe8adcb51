"""Objects against the OpenAPI schema of a Kubernetes version, as strictly as the API server's field validation.

The schema is ``api/openapi-spec/swagger.json`` of the Kubernetes sources (OpenAPI v2). It says fields, types and what
is required; allowed words and rules between fields are the API server's own, and only a cluster can apply them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

Schema = Mapping[str, Any]
Problem = Literal["unknown", "type", "required", "value"]

_REF = "#/definitions/"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# The serialised form in apimachinery's resource.Quantity documentation (v0.34).
_QUANTITY_TEXT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?")
# Keywords of a custom resource's schema that the walk does not deal with itself.
_VALUE_KEYWORDS = frozenset(
    {
        "allOf", "anyOf", "oneOf", "not", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "multipleOf",
        "minProperties", "maxProperties",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Violation:
    """One field that is not as the schema wants it.

    Args:
        problem: what kind.
        path: of the field, e.g. ``spec.template.spec.containers[0].imge``.
        message: as kubectl words it where it has words.
        hint: what to do.
    """

    problem: Problem
    path: str
    message: str
    hint: str = ""


class KubernetesSchema:
    """The objects of one Kubernetes version.

    Args:
        version: its minor version, e.g. ``1.34``.
        definitions: the schema's definitions by name.
    """

    def __init__(self, version: str, definitions: Mapping[str, Schema]) -> None:
        self.version = version
        self._definitions = definitions
        self._by_kind: dict[tuple[str, str], Schema] = {}
        for definition in definitions.values():
            for gvk in definition.get("x-kubernetes-group-version-kind", ()):
                api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
                self._by_kind[api_version, gvk["kind"]] = definition
        self._groups = {_group(api_version) for api_version, _ in self._by_kind}

    @classmethod
    def from_file(cls, version: str, path: Path) -> KubernetesSchema:
        """Read a ``swagger.json``."""
        definitions: Mapping[str, Schema] = json.loads(path.read_bytes())["definitions"]
        return cls(version, definitions)

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether this version knows the kind under that API version."""
        return (api_version, kind) in self._by_kind

    def has_group(self, api_version: str) -> bool:
        """Whether the group of `api_version` is one of Kubernetes' own."""
        return _group(api_version) in self._groups

    def api_versions(self, kind: str, group: str) -> list[str]:
        """Return the API versions under which a kind of a group is known."""
        return sorted(version for version, known in self._by_kind if known == kind and _group(version) == group)

    def check(self, body: Mapping[str, Any]) -> tuple[Violation, ...]:
        """Return what is wrong with an object of a kind this version serves."""
        schema = self._by_kind[str(body.get("apiVersion")), str(body.get("kind"))]
        return tuple(self._walk(schema, body, ""))

    def check_custom(self, body: Mapping[str, Any], schema: Schema) -> tuple[Violation, ...]:
        """Return what is wrong with a custom object.

        Args:
            body: the object.
            schema: the ``openAPIV3Schema`` of its version.
        """
        import jsonschema  # noqa: PLC0415 - most charts have no custom objects, and importing it takes a while

        properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, **schema.get("properties", {})}
        properties["metadata"] = {"$ref": _REF + _OBJECT_META}
        found = list(self._walk({**schema, "properties": properties, "type": "object"}, body, ""))
        # A field of the wrong type has been reported; its value would only be reported once more.
        seen = {violation.path for violation in found}
        for error in jsonschema.Draft202012Validator(_values_only(schema)).iter_errors(body):
            path = _path(error.absolute_path)
            if path not in seen:
                found.append(Violation("value", path, f'invalid value for field "{path}": {error.message}'))
        return tuple(found)

    def _walk(self, schema: Schema, value: Any, path: str) -> Iterator[Violation]:
        # What is null counts as not there (apimachinery's decoding), except where it is required.
        if value is None:
            return
        if reference := schema.get("$ref"):
            name = reference.removeprefix(_REF)
            if name == _QUANTITY:
                yield from _quantity(value, path)
                return
            schema = self._definitions[name]
        kind = schema.get("type")
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            if isinstance(value, bool) or not isinstance(value, (int, str)):
                yield _wrong_type("an integer or a string", value, path)
        elif "properties" in schema or kind == "object":
            yield from self._object(schema, value, path)
        elif kind == "array":
            yield from self._array(schema, value, path)
        elif kind is not None and not _is(kind, value):
            yield _wrong_type(_NAMES[kind], value, path)

    def _object(self, schema: Schema, value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, Mapping):
            yield _wrong_type("a mapping", value, path)
            return
        properties = schema.get("properties")
        others = schema.get("additionalProperties")
        for name in schema.get("required", ()):
            if value.get(name) is None:
                field = f"{path}.{name}" if path else name
                yield Violation("required", field, f'missing required field "{field}"')
        for name, inner in value.items():
            field = f"{path}.{name}" if path else str(name)
            if properties and name in properties:
                yield from self._walk(properties[name], inner, field)
            elif isinstance(others, Mapping):
                yield from self._walk(others, inner, field)
            elif properties is not None and not others and not schema.get("x-kubernetes-preserve-unknown-fields"):
                close = get_close_matches(str(name), properties, n=1)
                hint = f"did you mean '{close[0]}'?" if close else "remove it, or put it where it belongs"
                yield Violation("unknown", field, f'unknown field "{field}"', hint)

    def _array(self, schema: Schema, value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, list):
            yield _wrong_type("a list", value, path)
            return
        items = schema.get("items", {})
        for number, inner in enumerate(value):
            yield from self._walk(items, inner, f"{path}[{number}]")


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
}


def _is(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, (int, float) if kind == "number" else str)


def _quantity(value: Any, path: str) -> Iterator[Violation]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        yield _wrong_type("a quantity", value, path)
    elif isinstance(value, str) and not _QUANTITY_TEXT.fullmatch(value):
        message = f'invalid value for field "{path}": {value!r} is no quantity'
        yield Violation("value", path, message, "write a number with a suffix, e.g. 500m, 1.5 or 128Mi")


def _wrong_type(wanted: str, value: Any, path: str) -> Violation:
    names: Mapping[type, str] = {str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    shown = repr(value) if isinstance(value, (str, bool, int, float)) else ""
    kind = names.get(type(value), "a mapping" if isinstance(value, Mapping) else "a list")
    seen = f"{shown} is {kind}" if shown else f"it is {kind}"
    hint = ""
    if wanted == "a string":
        hint = "quote it, e.g. with the template function quote"
    elif kind == "a string":
        hint = "take away the quotes"
    return Violation("type", path, f'wrong type for field "{path}": {wanted} is wanted, {seen}', hint)


def _values_only(schema: Any) -> Any:
    """Return a custom resource's schema with only what it says of values: types and names are walked."""
    if not isinstance(schema, Mapping):
        return schema
    kept: dict[str, Any] = {key: value for key, value in schema.items() if key in _VALUE_KEYWORDS}
    # OpenAPI 3.0 spells exclusive bounds as booleans beside the bound.
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if kept.pop(exclusive, False) is True:
            kept[exclusive] = kept.pop(bound)
    if schema.get("nullable") and "enum" in kept:
        kept["enum"] = [*kept["enum"], None]
    if "properties" in schema:
        kept["properties"] = {name: _values_only(inner) for name, inner in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            kept[key] = _values_only(schema[key])
    return kept


def _path(parts: Sequence[str | int]) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
