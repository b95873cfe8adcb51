"""Kubeconfig files: read with care, narrowed to one context, written for this user's eyes only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.cluster.state import ANOTHER_CACHE, state_errors
from harness.errors import ClusterError

# Fields that hold paths, relative to the directory of the file they stand in (client-go's ResolveLocalPaths).
_CLUSTER_PATHS = ("certificate-authority",)
_SOUND = "`kubectl config view` shows a sound one"
_USER_PATHS = ("client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True)
class Context:
    """One context of a kubeconfig with all it refers to, paths made absolute.

    Args:
        name: the context's name.
        cluster_name: name of the cluster entry.
        user_name: name of the user entry.
        namespace: default namespace, empty when none is set.
        cluster: the cluster entry.
        user: the user entry.
    """

    name: str
    cluster_name: str
    user_name: str
    namespace: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self.cluster.get("server", ""))

    def document(self) -> dict[str, Any]:
        """Return a kubeconfig that holds this context and nothing else, as its current one."""
        context = {"cluster": self.cluster_name, "user": self.user_name}
        if self.namespace:
            context["namespace"] = self.namespace
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": self.name,
            "contexts": [{"name": self.name, "context": context}],
            "clusters": [{"name": self.cluster_name, "cluster": dict(self.cluster)}],
            "users": [{"name": self.user_name, "user": dict(self.user)}],
        }


def read(path: Path) -> dict[str, Any]:
    """Return the parsed kubeconfig at `path`.

    Raises:
        ClusterError: it is missing, unreadable, not YAML, or not a kubeconfig.
    """
    attempted = f"read the kubeconfig '{path}'"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterError(attempted, seen=error.strerror or str(error), hint="check --kubeconfig") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClusterError(attempted, seen=f"not YAML: {error}", hint=_SOUND) from error
    problems = list(_problems(document))
    if problems:
        raise ClusterError(attempted, seen="\n".join(problems), hint=_SOUND)
    return dict(document)


def _problems(document: object) -> Iterator[str]:
    if not isinstance(document, Mapping):
        yield f"not a kubeconfig: the document is {type(document).__name__}, not a mapping"
        return
    for section in ("contexts", "clusters", "users"):
        entries = document.get(section)
        if not isinstance(entries or [], list):
            yield f"'{section}' is not a list"
            continue
        body = section.removesuffix("s")
        for index, entry in enumerate(entries or []):
            if not (isinstance(entry, Mapping) and isinstance(entry.get("name"), str)):
                yield f"{section}[{index}] has no name"
            elif not isinstance(entry.get(body) or {}, Mapping):
                yield f"{section}[{index}] ('{entry['name']}'): '{body}' is not a mapping"


def context_names(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of all contexts, in order, repeated ones repeated."""
    return tuple(entry["name"] for entry in document.get("contexts") or [])


def select(document: Mapping[str, Any], name: str, *, path: Path) -> Context:
    """Return context `name` of a parsed kubeconfig.

    Args:
        document: what :func:`read` returned.
        name: the context's name.
        path: the file it came from, for relative paths and messages.

    Raises:
        ClusterError: the context, or the cluster or user it names, is missing or incomplete.
    """
    attempted = f"use context '{name}' of '{path}'"
    entry = _entry(document, "contexts", name)
    if entry is None:
        known = ", ".join(f"'{known}'" for known in context_names(document)) or "none"
        raise ClusterError(attempted, seen=f"there is no such context; there are: {known}", hint="check --kube-context")
    body = entry.get("context") or {}
    cluster_name, user_name = str(body.get("cluster", "")), str(body.get("user", ""))
    cluster, user = _entry(document, "clusters", cluster_name), _entry(document, "users", user_name)
    problems = []
    if cluster is None:
        problems.append(f"it names cluster '{cluster_name}', which is not defined")
    elif not (cluster.get("cluster") or {}).get("server"):
        problems.append(f"its cluster '{cluster_name}' has no server address")
    if user is None:
        problems.append(f"it names user '{user_name}', which is not defined")
    if cluster is None or user is None or problems:
        raise ClusterError(attempted, seen="\n".join(problems), hint="repair the kubeconfig or name another context")
    return Context(
        name=name,
        cluster_name=cluster_name,
        user_name=user_name,
        namespace=str(body.get("namespace") or ""),
        cluster=_absolute(cluster["cluster"], _CLUSTER_PATHS, path.parent),
        user=_absolute_user(user.get("user") or {}, path.parent),
    )


def _entry(document: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any] | None:
    # The first one wins, as in client-go.
    entries: list[Mapping[str, Any]] = document.get(section) or []
    return next((entry for entry in entries if entry["name"] == name), None)


def _absolute(body: Mapping[str, Any], fields: tuple[str, ...], directory: Path) -> dict[str, Any]:
    base = directory.absolute()
    return {key: str(base / value) if key in fields and value else value for key, value in body.items()}


def _absolute_user(body: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    user = _absolute(body, _USER_PATHS, directory)
    plugin = user.get("exec")
    # A credential plugin given as a relative path is found beside the file; a bare name on PATH.
    if isinstance(plugin, Mapping) and "/" in str(plugin.get("command", "")):
        user["exec"] = {**plugin, "command": str(directory.absolute() / plugin["command"])}
    return user


def write_private(path: Path, document: Mapping[str, Any], *, otherwise: str = ANOTHER_CACHE) -> None:
    """Write `document` to `path`, readable by its owner only from the first byte on.

    Args:
        path: the file.
        document: its content.
        otherwise: what else can be given when it cannot be written, for the error.

    Raises:
        ClusterError: it cannot be written.
    """
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    with state_errors(f"write the kubeconfig '{path}'", path.parent, otherwise=otherwise):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(dict(document), file, sort_keys=False)
        draft.replace(path)
