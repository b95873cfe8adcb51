"""YAML as Helm and Kubernetes read it, with the line of what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

# libyaml's parser is ten times as fast; wheels of PyYAML have it, some distributions' builds have not.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc] # one of two base classes
    """A date is a string, and so is ``1:30``; ``1e3`` is a number (sigs.k8s.io/yaml v1.6 over yaml.v2)."""


_FOREIGN = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "int", "float")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _FOREIGN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_INTEGER = r"[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+"
_FLOAT = (
    r"[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?:\.|\.?[eE][-+]?[0-9]+)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(rf"^(?:{_INTEGER})$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"^(?:{_FLOAT})$"), list("-+0123456789."))


class YamlError(ValueError):
    """Text is no YAML; `line` is 1-based, 0 when unknown."""

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(message)


def load(text: str) -> Any:
    """Return the one document in `text`, ``None`` when it is empty.

    Raises:
        YamlError: it is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise _described(error) from None


def load_all(text: str) -> list[Any]:
    """Return the documents in `text`, empty ones left out.

    Raises:
        YamlError: it is no YAML.
    """
    try:
        return [one for one in yaml.load_all(text, Loader=_Loader) if one is not None]
    except yaml.YAMLError as error:
        raise _described(error) from None


def _described(error: yaml.YAMLError) -> YamlError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    context = getattr(error, "context", None)
    return YamlError(f"{context}: {problem}" if context else str(problem), mark.line + 1 if mark else 0)


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the 1-based line of each key of the mapping in `text`, by its path; empty when it is no mapping.

    Within a list the path goes by the item's number, e.g. ``("cases", "0", "set")``.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError:
        return {}
    return dict(_keys(node, ()))


def _keys(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _keys(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _keys(item, (*path, str(number)))
