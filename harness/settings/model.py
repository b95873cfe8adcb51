"""Settings as frozen values; each stage of a run gets its own slice.

Every field's default lives in the table of :mod:`harness.settings.options`; the classes here only say what a resolved
value is. Time is in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProviderName = Literal["kind", "existing"]


@dataclass(frozen=True)
class SupplySettings:
    """Where programs and images come from.

    Args:
        cache_dir: Seatrial's cache, ``$XDG_CACHE_HOME/seatrial``.
        offline: never ask the network.
        build: whether artifacts may be built from package registries.
        download: whether published artifacts may be downloaded or pulled.
        given: paths (programs) or references (images) the user gave, by artifact name.
    """

    cache_dir: Path
    offline: bool
    build: bool
    download: bool
    given: Mapping[str, str]

    @property
    def may_download(self) -> bool:
        """Whether what others publish may be downloaded or pulled."""
        return self.download and not self.offline


@dataclass(frozen=True)
class EngineSettings:
    """Which Docker engine is used.

    Args:
        docker_host: address of the user's engine, ``None`` to look in Docker's usual places.
        managed: whether Seatrial may start an engine of its own where none answers.
        install: whether Debian packages may be installed, for it or for building base images.
        state_dir: runtime state of the managed engine (socket, pid file, log).
        data_dir: its data root.
        docker_host_origin: who named `docker_host`, for the message when nothing answers there.
    """

    docker_host: str | None
    managed: bool
    install: bool
    state_dir: Path
    data_dir: Path
    docker_host_origin: str = "default"


@dataclass(frozen=True)
class ClusterSettings:
    """Which cluster is used, and what becomes of it.

    Args:
        provider: ``kind`` makes clusters, ``existing`` uses one that is there.
        name: the cluster's name; ``None`` makes a unique one per run.
        keep: keep the cluster after the run and use it again in the next.
        kubeconfig: kubeconfig file; for ``kind`` where to write, for ``existing`` where to read.
        context: context inside it, required for ``existing``.
        allow_production: permit contexts whose names look like production.
        kubernetes_versions: Kubernetes minor versions of new clusters, e.g. ``("1.34",)``; tests run with each.
        node_image: node image the user gave, ``None`` lets supply choose.
        create_timeout_s: limit for creating a cluster until it is usable.
        delete_timeout_s: limit for deleting it.
        at_once: how many clusters of different versions may be there at a time.
    """

    provider: ProviderName
    name: str | None
    keep: bool
    kubeconfig: Path | None
    context: str | None
    allow_production: bool
    kubernetes_versions: tuple[str, ...]
    node_image: str | None
    create_timeout_s: float
    delete_timeout_s: float
    at_once: int = 1

    @property
    def kubernetes(self) -> str:
        """The first of the versions: the one to use where there is to be one only."""
        return self.kubernetes_versions[0]


@dataclass(frozen=True)
class ImageSettings:
    """How images are built and reach the nodes.

    Args:
        build_timeout_s: limit for one image build.
        registry: ``HOST[:PORT][/PREFIX]`` of a registry that an ``existing`` cluster pulls from.
    """

    build_timeout_s: float
    registry: str | None


@dataclass(frozen=True)
class DeploySettings:
    """Limits for deployments.

    Args:
        rollout_timeout_s: limit for one rollout.
        helm_timeout_s: limit for one helm call that waits.
    """

    rollout_timeout_s: float
    helm_timeout_s: float


@dataclass(frozen=True)
class ChartSettings:
    """Charts under regression.

    Args:
        changed_since: git ref to compare with; only tests of charts that changed are run.
        only: directory of the one chart whose tests are run.
    """

    changed_since: str | None
    only: Path | None


@dataclass(frozen=True)
class ScoringSettings:
    """Limits for scoring requests.

    Args:
        request_timeout_s: limit for one request.
        ready_timeout_s: limit for an endpoint to answer at all.
    """

    request_timeout_s: float
    ready_timeout_s: float


@dataclass(frozen=True)
class EvidenceSettings:
    """Where the evidence of a run goes.

    Args:
        directory: parent of the runs' directories.
        kept_runs: for how many runs evidence is kept.
        log_tail_lines: container log lines kept per container.
        job_summary: Markdown file that what the run showed is appended to.
        annotations: the CI system that failed tests are printed for.
    """

    directory: Path
    kept_runs: int
    log_tail_lines: int
    job_summary: Path | None
    annotations: Literal["none", "github"]


@dataclass(frozen=True)
class Settings:
    """Everything the user chose, with where each value came from.

    Args:
        origins: option name (the flag without its dashes) -> origin: ``command line``, ``environment NAME``,
            ``ini KEY`` or ``default``.
    """

    supply: SupplySettings
    engine: EngineSettings
    cluster: ClusterSettings
    images: ImageSettings
    deploy: DeploySettings
    charts: ChartSettings
    scoring: ScoringSettings
    evidence: EvidenceSettings
    origins: Mapping[str, str]
