"""Seatrial: end-to-end deployment tests for model-scoring services on Kubernetes.

What a test author imports is here; docs/api.md says what each is for. A name's module is imported when the name is
first used (PEP 562), because every pytest run of an environment imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.access.endpoint import Endpoint
    from harness.assembly import Assembly
    from harness.charts.changed import charts_below
    from harness.cluster.provider import ClusterHandle, ClusterSpec, NodeSpec, PortMapping
    from harness.cluster.pytest_kind import SeatrialKindCluster
    from harness.commands.helm import Values
    from harness.deploy.bodywork import BodyworkDeployer, Pipeline
    from harness.deploy.bodywork3 import Bodywork3Deployer, Project
    from harness.deploy.bodywork_base import Workflow
    from harness.deploy.helm import HelmDeployer
    from harness.deploy.kubectl import Contexts, KubectlDeployer
    from harness.deploy.manifests import Manifest, ManifestDeployer
    from harness.deploy.release import Release, ResourceRef
    from harness.deploy.seldon import Predictor, SeldonDeployer, SeldonDeployment
    from harness.deploy.seldon_core import SeldonCore, SeldonCoreInstaller
    from harness.engine.engine import Engine
    from harness.errors import (
        AccessError,
        BodyworkError,
        BodyworkProjectError,
        BodyworkStageError,
        BuildError,
        ChartError,
        ChartTestError,
        CleanupError,
        ClusterError,
        ClusterNotReadyError,
        CommandError,
        CommandTimeoutError,
        ContextRefusedError,
        DeployError,
        DigestMismatchError,
        DownloadError,
        EndpointNotReadyError,
        EngineError,
        ErrorBudgetExceeded,
        HistoryError,
        ImageBuildError,
        ImageError,
        LeftoverError,
        ManifestError,
        MissingArtifactsError,
        OutsideError,
        PayloadError,
        ProgramNotFoundError,
        RegistryAuthError,
        RegistryError,
        RegistryTLSError,
        RegistryUnreachableError,
        RolloutError,
        ScoreMismatch,
        SeatrialError,
        SeldonError,
        SeldonOperatorError,
        SeldonRefusedError,
        SettingsError,
        SupplyError,
        WaitTimeoutError,
        WeightMismatch,
    )
    from harness.images.container import ContainerSpec, ContainerStatus, RunningContainer, list_containers
    from harness.images.push import PushedImage, pull, push
    from harness.images.reference import ImageName, ImageRef
    from harness.outside.registry import LocalRegistry
    from harness.process.command import Command
    from harness.process.outcome import Outcome
    from harness.process.runner import Runner
    from harness.scoring.grpc import predict_grpc
    from harness.scoring.payloads import FormBody, PayloadShape, PlainPayload
    from harness.scoring.request import ScoreRequest
    from harness.scoring.response import ScoreResponse
    from harness.scoring.seldon import SeldonMessage, SeldonPaths, SeldonPayload, feedback_body
    from harness.scoring.seldon_response import SeldonResponse
    from harness.scoring.traffic import TrafficProbe, traffic
    from harness.scoring.verdict import ErrorBudget, Verdict
    from harness.scoring.weights import assert_weights, count_variants
    from harness.settings.model import Settings
    from harness.site import Site
    from harness.supply.artifact import Chart, Files, Image, Program, Provenance
    from harness.supply.resolver import Supply

__all__ = [
    "AccessError",
    "Assembly",
    "Bodywork3Deployer",
    "BodyworkDeployer",
    "BodyworkError",
    "BodyworkProjectError",
    "BodyworkStageError",
    "BuildError",
    "Chart",
    "ChartError",
    "ChartTestError",
    "CleanupError",
    "ClusterError",
    "ClusterHandle",
    "ClusterNotReadyError",
    "ClusterSpec",
    "Command",
    "CommandError",
    "CommandTimeoutError",
    "ContainerSpec",
    "ContainerStatus",
    "ContextRefusedError",
    "Contexts",
    "DeployError",
    "DigestMismatchError",
    "DownloadError",
    "Endpoint",
    "EndpointNotReadyError",
    "Engine",
    "EngineError",
    "ErrorBudget",
    "ErrorBudgetExceeded",
    "Files",
    "FormBody",
    "HelmDeployer",
    "HistoryError",
    "Image",
    "ImageBuildError",
    "ImageError",
    "ImageName",
    "ImageRef",
    "KubectlDeployer",
    "LeftoverError",
    "LocalRegistry",
    "Manifest",
    "ManifestDeployer",
    "ManifestError",
    "MissingArtifactsError",
    "NodeSpec",
    "Outcome",
    "OutsideError",
    "PayloadError",
    "PayloadShape",
    "Pipeline",
    "PlainPayload",
    "PortMapping",
    "Predictor",
    "Program",
    "ProgramNotFoundError",
    "Project",
    "Provenance",
    "PushedImage",
    "RegistryAuthError",
    "RegistryError",
    "RegistryTLSError",
    "RegistryUnreachableError",
    "Release",
    "ResourceRef",
    "RolloutError",
    "Runner",
    "RunningContainer",
    "ScoreMismatch",
    "ScoreRequest",
    "ScoreResponse",
    "SeatrialError",
    "SeatrialKindCluster",
    "SeldonCore",
    "SeldonCoreInstaller",
    "SeldonDeployer",
    "SeldonDeployment",
    "SeldonError",
    "SeldonMessage",
    "SeldonOperatorError",
    "SeldonPaths",
    "SeldonPayload",
    "SeldonRefusedError",
    "SeldonResponse",
    "Settings",
    "SettingsError",
    "Site",
    "Supply",
    "SupplyError",
    "TrafficProbe",
    "Values",
    "Verdict",
    "WaitTimeoutError",
    "WeightMismatch",
    "Workflow",
    "assert_weights",
    "charts_below",
    "count_variants",
    "feedback_body",
    "list_containers",
    "predict_grpc",
    "pull",
    "push",
    "traffic",
]

_HOMES = {
    "harness.access.endpoint": ("Endpoint",),
    "harness.assembly": ("Assembly",),
    "harness.charts.changed": ("charts_below",),
    "harness.cluster.provider": ("ClusterHandle", "ClusterSpec", "NodeSpec", "PortMapping"),
    "harness.cluster.pytest_kind": ("SeatrialKindCluster",),
    "harness.commands.helm": ("Values",),
    "harness.deploy.release": ("Release", "ResourceRef"),
    "harness.deploy.bodywork": ("BodyworkDeployer", "Pipeline"),
    "harness.deploy.bodywork3": ("Bodywork3Deployer", "Project"),
    "harness.deploy.bodywork_base": ("Workflow",),
    "harness.deploy.helm": ("HelmDeployer",),
    "harness.deploy.kubectl": ("Contexts", "KubectlDeployer"),
    "harness.deploy.manifests": ("Manifest", "ManifestDeployer"),
    "harness.deploy.seldon": ("Predictor", "SeldonDeployer", "SeldonDeployment"),
    "harness.deploy.seldon_core": ("SeldonCore", "SeldonCoreInstaller"),
    "harness.engine.engine": ("Engine",),
    "harness.errors": (
        "AccessError",
        "BodyworkError",
        "BodyworkProjectError",
        "BodyworkStageError",
        "BuildError",
        "ChartError",
        "ChartTestError",
        "CleanupError",
        "ClusterError",
        "ClusterNotReadyError",
        "CommandError",
        "CommandTimeoutError",
        "ContextRefusedError",
        "DeployError",
        "DigestMismatchError",
        "DownloadError",
        "EndpointNotReadyError",
        "EngineError",
        "ErrorBudgetExceeded",
        "HistoryError",
        "ImageBuildError",
        "ImageError",
        "LeftoverError",
        "ManifestError",
        "MissingArtifactsError",
        "OutsideError",
        "PayloadError",
        "ProgramNotFoundError",
        "RegistryAuthError",
        "RegistryError",
        "RegistryTLSError",
        "RegistryUnreachableError",
        "RolloutError",
        "ScoreMismatch",
        "SeatrialError",
        "SeldonError",
        "SeldonOperatorError",
        "SeldonRefusedError",
        "SettingsError",
        "SupplyError",
        "WaitTimeoutError",
        "WeightMismatch",
    ),
    "harness.images.container": ("ContainerSpec", "ContainerStatus", "RunningContainer", "list_containers"),
    "harness.images.push": ("PushedImage", "pull", "push"),
    "harness.images.reference": ("ImageName", "ImageRef"),
    "harness.outside.registry": ("LocalRegistry",),
    "harness.process.command": ("Command",),
    "harness.process.outcome": ("Outcome",),
    "harness.process.runner": ("Runner",),
    "harness.scoring.grpc": ("predict_grpc",),
    "harness.scoring.payloads": ("FormBody", "PayloadShape", "PlainPayload"),
    "harness.scoring.request": ("ScoreRequest",),
    "harness.scoring.response": ("ScoreResponse",),
    "harness.scoring.seldon": ("SeldonMessage", "SeldonPaths", "SeldonPayload", "feedback_body"),
    "harness.scoring.seldon_response": ("SeldonResponse",),
    "harness.scoring.traffic": ("TrafficProbe", "traffic"),
    "harness.scoring.verdict": ("ErrorBudget", "Verdict"),
    "harness.scoring.weights": ("assert_weights", "count_variants"),
    "harness.settings.model": ("Settings",),
    "harness.site": ("Site",),
    "harness.supply.artifact": ("Chart", "Files", "Image", "Program", "Provenance"),
    "harness.supply.resolver": ("Supply",),
}


if not TYPE_CHECKING:  # a type checker is to refuse names that are not there

    def __getattr__(name: str) -> object:
        """Import a public name from the module it lives in."""
        for module, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(module), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
