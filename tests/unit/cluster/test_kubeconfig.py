"""Kubeconfig files: good, bad, narrowed to one context."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster import kubeconfig
from harness.errors import ClusterError

DOCUMENT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "two",
    "contexts": [
        {"name": "one", "context": {"cluster": "c1", "user": "u1", "namespace": "n"}},
        {"name": "two", "context": {"cluster": "c2", "user": "u1"}},
        {"name": "no-cluster", "context": {"cluster": "absent", "user": "u1"}},
        {"name": "no-user", "context": {"cluster": "c1", "user": "absent"}},
        {"name": "no-server", "context": {"cluster": "c3", "user": "u1"}},
        {"name": "empty"},
    ],
    "clusters": [
        {"name": "c1", "cluster": {"server": "https://one:6443", "certificate-authority": "pki/ca.crt"}},
        {"name": "c2", "cluster": {"server": "https://two:6443"}},
        {"name": "c3", "cluster": {}},
    ],
    "users": [
        {
            "name": "u1",
            "user": {"client-key": "/abs/key", "tokenFile": "token", "exec": {"command": "./bin/login", "args": ["x"]}},
        }
    ],
}


def test_a_context_is_narrowed_to_itself(tmp_path: Path) -> None:
    """The private copy holds the chosen context, its cluster and its user, and makes it the current one."""
    document = kubeconfig.select(DOCUMENT, "one", path=tmp_path / "config").document()
    assert document["current-context"] == "one"
    assert [entry["name"] for section in ("contexts", "clusters", "users") for entry in document[section]] == [
        "one",
        "c1",
        "u1",
    ]
    assert document["contexts"][0]["context"] == {"cluster": "c1", "user": "u1", "namespace": "n"}


def test_relative_paths_stay_what_they_meant(tmp_path: Path) -> None:
    """The copy lies in another directory: what was relative to the original becomes absolute."""
    context = kubeconfig.select(DOCUMENT, "one", path=tmp_path / "config")
    assert context.cluster["certificate-authority"] == str(tmp_path / "pki/ca.crt")
    assert context.user["client-key"] == "/abs/key"
    assert context.user["tokenFile"] == str(tmp_path / "token")
    assert context.user["exec"] == {"command": str(tmp_path / "bin/login"), "args": ["x"]}


def test_selecting_changes_nothing(tmp_path: Path) -> None:
    """The parsed original is left alone."""
    before = repr(DOCUMENT)
    kubeconfig.select(DOCUMENT, "one", path=tmp_path / "config").document()
    assert repr(DOCUMENT) == before


@pytest.mark.parametrize(
    ("context", "why"),
    [
        ("absent", "there are: 'one', 'two'"),
        ("no-cluster", "cluster 'absent', which is not defined"),
        ("no-user", "user 'absent', which is not defined"),
        ("no-server", "no server address"),
        ("empty", "cluster '', which is not defined"),
    ],
)
def test_incomplete_contexts(tmp_path: Path, context: str, why: str) -> None:
    """What is missing is named."""
    with pytest.raises(ClusterError, match=why):
        kubeconfig.select(DOCUMENT, context, path=tmp_path / "config")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("a: [", "not YAML", id="broken YAML"),
        pytest.param("\x00", "not YAML", id="binary"),
        pytest.param("", "NoneType", id="empty"),
        pytest.param("- a", "list, not a mapping", id="a list"),
        pytest.param("contexts: {a: b}", "'contexts' is not a list", id="contexts as a mapping"),
        pytest.param("clusters: [{cluster: {}}]", r"clusters\[0\] has no name", id="an entry without a name"),
        pytest.param("users: [{name: u, user: 3}]", "'user' is not a mapping", id="a body that is a number"),
        pytest.param("users: [3]\ncontexts: 4", "'contexts' is not a list\n.*users", id="all problems at once"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, why: str) -> None:
    """A file that is no kubeconfig is refused with the file's name and everything wrong with it."""
    path = tmp_path / "config"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClusterError, match=why) as caught:
        kubeconfig.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    """The reason is the system's own word."""
    with pytest.raises(ClusterError, match="No such file"):
        kubeconfig.read(tmp_path / "absent")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """It is named, with what else can be given."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ClusterError, match="write the kubeconfig") as caught:
        kubeconfig.write_private(tmp_path / "file" / "config", DOCUMENT, otherwise="name another file")
    assert str(tmp_path / "file") in caught.value.seen
    assert "name another file" in caught.value.hint


def test_written_for_the_owner_only(tmp_path: Path) -> None:
    """It holds credentials: nobody else may read it, also where a readable one was before."""
    path = tmp_path / "new" / "config"
    kubeconfig.write_private(path, {"a": 1})
    path.chmod(0o644)
    kubeconfig.write_private(path, DOCUMENT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == DOCUMENT
    assert list(path.parent.iterdir()) == [path]
