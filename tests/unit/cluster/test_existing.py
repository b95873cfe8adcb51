"""Which contexts an existing cluster is used under, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cleanup import CleanupStack
from harness.cluster.existing import ExistingProvider, looks_like_production
from harness.cluster.provider import ClusterSpec
from harness.errors import ClusterError, ClusterNotReadyError, ContextRefusedError
from harness.naming import LABEL_OWNER, Run, owner_host
from harness.settings.model import ClusterSettings

SETTINGS = ClusterSettings(
    provider="existing",
    name=None,
    keep=False,
    kubeconfig=None,
    context=None,
    allow_production=False,
    kubernetes_versions=("1.34",),
    node_image=None,
    create_timeout_s=1,
    delete_timeout_s=1,
)


def write(path: Path, *names: str, server: str = "https://127.0.0.1:1", cluster: str = "c") -> Path:
    """Write a kubeconfig with contexts of these names."""
    contexts = [{"name": name, "context": {"cluster": cluster, "user": "u"}} for name in names]
    document = {
        "current-context": names[0] if names else "",
        "contexts": contexts,
        "clusters": [{"name": cluster, "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def create(tmp_path: Path, cleanup: CleanupStack | None = None, **changes: object) -> None:
    """Create a handle with changed settings."""
    provider = ExistingProvider(
        kubectl=lambda _: Path("/bin/kubectl"),
        cleanup=cleanup or CleanupStack(),
        run=Run("1f2e3d4c", 1, 1, 1),
        settings=replace(SETTINGS, **changes),  # type: ignore[arg-type]
        state_dir=tmp_path / "state",
    )
    provider.create("x", ClusterSpec("1.34"))


@pytest.mark.parametrize(
    "name",
    ["prod", "eu-prod-1", "Production", "gke_acme_europe_prod", "prd.acme", "live", "a/live/b", "prod1", "x-PROD"],
)
def test_names_that_look_like_production(name: str) -> None:
    """The usual words, alone or between separators, however they are written."""
    assert looks_like_production(name)


@pytest.mark.parametrize(
    "name",
    [
        "dev",
        "kind-seatrial",
        "non-prod",
        "nonprod",
        "preprod-eu",
        "pre-prod",
        "product-team",
        "reproduction",
        "delivery",
    ],
)
def test_names_that_do_not(name: str) -> None:
    """Other words that hold the same letters, and what says that it is not."""
    assert not looks_like_production(name)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        pytest.param({}, "a kubeconfig and a context must be named", id="neither"),
        pytest.param({"kubeconfig": Path("/c")}, "a context must be named", id="no context"),
        pytest.param({"context": "one"}, "a kubeconfig must be named", id="no kubeconfig"),
    ],
)
def test_nothing_is_taken_by_default(tmp_path: Path, given: dict[str, Any], why: str) -> None:
    """There is no default kubeconfig and no default context."""
    with pytest.raises(ContextRefusedError, match=why):
        create(tmp_path, **given)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        pytest.param(("other",), "it is not there; there are: 'other'", id="not there"),
        pytest.param(("one", "one"), "there more than once", id="there twice"),
        pytest.param((), "there are: none", id="no contexts at all"),
    ],
)
def test_a_context_has_to_be_there_once(tmp_path: Path, names: tuple[str, ...], why: str) -> None:
    """A missing context is answered with those that are there; an ambiguous one is not guessed at."""
    with pytest.raises(ContextRefusedError, match=why):
        create(tmp_path, kubeconfig=write(tmp_path / "config", *names), context="one")


@pytest.mark.parametrize(
    ("context", "cluster", "server"),
    [
        pytest.param("eu-prod", "c", "https://a", id="its name"),
        pytest.param("one", "prod", "https://a", id="its cluster's name"),
        pytest.param("one", "c", "https://api.prod.acme.test", id="its server's address"),
    ],
)
def test_production_needs_to_be_allowed(tmp_path: Path, context: str, cluster: str, server: str) -> None:
    """Any of the names a context leads to can give production away."""
    config = write(tmp_path / "config", context, cluster=cluster, server=server)
    with pytest.raises(ContextRefusedError, match="--allow-production"):
        create(tmp_path, kubeconfig=config, context=context)
    assert not (tmp_path / "state").exists()


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    """The address and the reason are named, the original is untouched, and cleanup leaves no private copy."""
    config = write(tmp_path / "config", "prod")
    before = config.read_bytes()
    with CleanupStack() as cleanup, pytest.raises(ClusterNotReadyError, match=r"127.0.0.1:1.*(?s:.*)refused"):
        create(tmp_path, cleanup, kubeconfig=config, context="prod", allow_production=True)
    assert config.read_bytes() == before
    assert list((tmp_path / "state").iterdir()) == []


def test_a_malformed_kubeconfig(tmp_path: Path) -> None:
    """It is the file that is named, not a parser's stack."""
    (tmp_path / "config").write_text("{", encoding="utf-8")
    with pytest.raises(ClusterError, match="not YAML"):
        create(tmp_path, kubeconfig=tmp_path / "config", context="one")


def test_private_files_of_killed_runs_are_removed(tmp_path: Path) -> None:
    """The next run removes what is its host's and nobody's any more, and leaves that of others."""
    here, living = owner_host(), Run.begin().labels()[LABEL_OWNER]
    dead, alive, elsewhere = f".existing-{here}-1.2-a", f".existing-{here}-{living}-a", ".existing-0123-1.2-a"
    for name in (dead, alive, elsewhere):
        (tmp_path / "state" / name).mkdir(parents=True)
    with CleanupStack() as cleanup, pytest.raises(ClusterNotReadyError):
        create(tmp_path, cleanup, kubeconfig=write(tmp_path / "config", "one"), context="one")
    left = {path.name for path in (tmp_path / "state").iterdir()}
    assert left == {alive, elsewhere}
