"""What a user may write for each type of setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.settings.values import (
    Address,
    Choice,
    ClusterName,
    Count,
    DirectoryPath,
    Duration,
    FilePath,
    ImageName,
    KubernetesVersions,
    Pairs,
    RegistryName,
    Surroundings,
    Switch,
    Text,
    ValueType,
    known_kubernetes_versions,
)

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    """A directory with a file, a program and a subdirectory in it."""
    (tmp_path / "file").write_text("")
    program = tmp_path / "program"
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "directory").mkdir()
    (tmp_path / "home").mkdir()
    return Surroundings(tmp_path, tmp_path / "home", ("1.21", "1.34"))


GOOD = {
    "seconds without a unit": (Duration(), "90", 90.0),
    "seconds": (Duration(), "90s", 90.0),
    "fractions of a second": (Duration(), "1.5s", 1.5),
    "minutes": (Duration(), "5m", 300.0),
    "hours, minutes and seconds": (Duration(), "1h30m10s", 5410.0),
    "blanks around a duration": (Duration(), " 2m ", 120.0),
    "a number from a typed file": (Duration(), 90, 90.0),
    "a true word in capitals": (Switch(), "YES", True),
    "a false word": (Switch(), "off", False),
    "a boolean from a typed file": (Switch(), False, False),
    "a choice": (Choice(("kind", "existing")), "existing", "existing"),
    "a count": (Count(), "500", 500),
    "text": (Text(), " staging ", "staging"),
    "a unix socket": (Address(), "unix:///run/docker.sock", "unix:///run/docker.sock"),
    "a tcp address": (Address(), "tcp://10.0.0.1:2376", "tcp://10.0.0.1:2376"),
    "a cluster name": (ClusterName(), "ci-1", "ci-1"),
    "the longest cluster name": (ClusterName(), "a" * 49, "a" * 49),
    "a known Kubernetes": (KubernetesVersions(), "1.21", ("1.21",)),
    "several, one of them twice": (KubernetesVersions(), "1.34, 1.21,1.34", ("1.34", "1.21")),
    "the newest Kubernetes": (KubernetesVersions(), "newest", ("1.34",)),
    "a short image": (ImageName(), "python", "python"),
    "a tagged image": (ImageName(), "kindest/node:v1.34.0", "kindest/node:v1.34.0"),
    "an image of a registry with a port": (ImageName(), "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
    "an image by digest": (ImageName(), f"kindest/node:v1.34.0@{DIGEST}", f"kindest/node:v1.34.0@{DIGEST}"),
    "an image by id": (ImageName(), DIGEST, DIGEST),
    "a registry": (RegistryName(), "registry.example.com:5000/team/", "registry.example.com:5000/team"),
    "no pairs": (Pairs(), [], {}),
    "pairs, one per flag": (Pairs(), ["a=b", "c=d:1"], {"a": "b", "c": "d:1"}),
    "pairs in one variable": (Pairs(), "a=b c=d", {"a": "b", "c": "d"}),
    "the same pair twice": (Pairs(), "a=b a=b", {"a": "b"}),
}

BAD = {
    "a duration in words": (Duration(), "soon", "not a length of time"),
    "a duration with an unknown unit": (Duration(), "5d", "not a length of time"),
    "a negative duration": (Duration(), "-5s", "not a length of time"),
    "a duration of nothing": (Duration(), "0s", "longer than nothing"),
    "an infinite duration": (Duration(), "inf", "not a length of time"),
    "an empty duration": (Duration(), "", "empty"),
    "a switch in between": (Switch(), "maybe", "neither on nor off"),
    "a choice there is not": (Choice(("kind", "existing")), "minikube", "choose kind or existing"),
    "a count of zero": (Count(), "0", "above zero"),
    "a count in words": (Count(), "many", "whole number"),
    "a count with a superscript": (Count(), "²", "whole number"),
    "empty text": (Text(), "  ", "empty"),
    "an address without a scheme": (Address(), "/run/docker.sock", "starts with one of"),
    "an address of nothing": (Address(), "unix://", "starts with one of"),
    "a cluster name with an underscore": (ClusterName(), "My_Cluster", "'my-cluster' would be one"),
    "a cluster name too long for a node": (ClusterName(), "a" * 50, "49 is the limit"),
    "an unknown Kubernetes": (KubernetesVersions(), "1.99", "known: 1.21, 1.34"),
    "one unknown Kubernetes among others": (KubernetesVersions(), "1.34,1.99", "known: 1.21, 1.34"),
    "an image with blanks": (ImageName(), "my image", "not an image reference"),
    "an image with a short digest": (ImageName(), "a@sha256:12", "not an image reference"),
    "a registry with a scheme": (RegistryName(), "https://registry.example.com", "without a scheme"),
    "a pair without a value": (Pairs(), "kind=", "not NAME=VALUE"),
    "a pair without an equals sign": (Pairs(), "kind", "not NAME=VALUE"),
    "a pair with an address": (Pairs(), "kind=https://example.com/kind", "not an address"),
    "two values for one name": (Pairs(), "a=b a=c", "'a' is given twice: 'b' and 'c'"),
}


@pytest.mark.parametrize(("kind", "raw", "value"), GOOD.values(), ids=GOOD.keys())
def test_good_value(kind: ValueType, raw: object, value: object, around: Surroundings) -> None:
    """What is well written becomes the value it stands for."""
    assert kind.parse(raw, around) == value


@pytest.mark.parametrize(("kind", "raw", "says"), BAD.values(), ids=BAD.keys())
def test_bad_value(kind: ValueType, raw: object, says: str, around: Surroundings) -> None:
    """What is badly written is refused with words that tell what would be right."""
    with pytest.raises(ValueError, match=says):
        kind.parse(raw, around)


GOOD_PATHS = {
    "a file relative to the base": (FilePath(), "file", "file"),
    "a program": (FilePath(executable=True), "./program", "program"),
    "a file that will be written": (FilePath(must_exist=False), "new/kubeconfig", "new/kubeconfig"),
    "a directory that is there": (DirectoryPath(), "directory", "directory"),
    "a directory that will be made": (DirectoryPath(), "directory/a/b", "directory/a/b"),
    "a directory at home": (DirectoryPath(), "~/cache", "home/cache"),
    "a detour": (DirectoryPath(), "directory/../other", "other"),
}

BAD_PATHS = {
    "a file that is not there": (FilePath(), "nowhere", "there is no file '.*/nowhere'"),
    "a directory instead of a file": (FilePath(must_exist=False), "directory", "is a directory, not a file"),
    "a file that is no program": (FilePath(executable=True), "file", "not executable"),
    "a file instead of a directory": (DirectoryPath(), "file", "'.*/file' is a file, not a directory"),
    "a directory below a file": (DirectoryPath(), "file/a/b", "'.*/file' is a file, not a directory"),
    "a directory that has to be there": (DirectoryPath(must_exist=True), "new", "there is no directory '.*/new'"),
    "a pair with a file that is not there": (Pairs(), "kind=./nowhere", "'kind': there is no file '.*/nowhere'"),
}


@pytest.mark.parametrize(("kind", "raw", "path"), GOOD_PATHS.values(), ids=GOOD_PATHS.keys())
def test_good_path(kind: ValueType, raw: object, path: str, around: Surroundings) -> None:
    """Paths become absolute, starting from the place they were written in."""
    assert kind.parse(raw, around) == around.base / path


@pytest.mark.parametrize(("kind", "raw", "says"), BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_bad_path(kind: ValueType, raw: object, says: str, around: Surroundings) -> None:
    """A path that cannot serve is named in full."""
    with pytest.raises(ValueError, match=says):
        kind.parse(raw, around)


def test_paths_in_pairs_become_absolute(around: Surroundings) -> None:
    """A program given by path is found whatever the working directory is later."""
    assert Pairs().parse(["kind=./program"], around) == {"kind": str(around.base / "program")}


def test_known_kubernetes_versions_are_those_with_a_recipe(tmp_path: Path) -> None:
    """A folder of recipes makes a version known; versions are ordered as numbers, not as words."""
    for name in ("node-1.34", "node-1.9", "node-base", "kind", "node-1.34-extra"):
        (tmp_path / name).mkdir()
    assert known_kubernetes_versions(tmp_path) == ("1.9", "1.34")


def test_shipped_recipes_make_a_version_known() -> None:
    """There is at least one, so that a run without any setting has a newest."""
    assert "1.34" in known_kubernetes_versions()
