"""Installing Seldon Core's operator with Helm, until it really answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.cluster.provider import ClusterHandle
from harness.commands import kubectl
from harness.commands.helm import Values, merged_values
from harness.deploy.helm import HelmDeployer
from harness.deploy.release import Release
from harness.deploy.seldon_rollout import API_VERSION, KIND, operator_problem
from harness.errors import SeatrialError, SeldonOperatorError, WaitTimeoutError
from harness.process.outcome import Outcome
from harness.process.runner import Runner
from harness.supply.artifact import Chart
from harness.wait import Deadline, wait_until

# The tutorial's.
RELEASE = "seldon-core"
NAMESPACE = "seldon-core"

# Names of the published chart's values. Routes are annotations, which Ambassador and its stand-in both read; newer
# charts leave them out unless asked, and write objects of Ambassador's own kinds unless asked for v1.
VALUES: Mapping[str, Any] = {
    "usageMetrics": {"enabled": False},
    "ambassador": {"enabled": True, "version": "v1"},
}

# No graph at all: the definition of the kind takes it, the operator's webhook does not, and says so.
_REFUSED_BY_WEBHOOK: Mapping[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": KIND,
    "metadata": {"name": "seatrial-asks-the-webhook"},
    "spec": {"predictors": []},
}
_REFUSAL = "Graph contains no predictors"
# Nothing tells when API servers and node proxies know of a webhook; asking takes kubectl about 0.1 s.
_ASK_INTERVAL_S = 0.1


@dataclass(frozen=True)
class SeldonCore:
    """An operator that answers.

    Args:
        release: the chart's release.
        version: the chart's version.
        published: whether it is the published chart with the published images.
        has_executor: whether predictors can have the executor: its image is published only.
        origin: one sentence for people: where the chart came from.
    """

    release: Release
    version: str
    published: bool
    has_executor: bool
    origin: str

    @property
    def no_engine(self) -> bool:
        """Whether predictors have to do without executor."""
        return not self.has_executor

    def __str__(self) -> str:
        """What the report says."""
        models = "with executor" if self.has_executor else "without executor (seldon.io/no-engine)"
        return f"Seldon Core {self.version}, {self.origin}; predictors {models}"


class SeldonCoreInstaller:
    """Installs and uninstalls the operator of one cluster.

    Args:
        handle: the cluster.
        runner: runs kubectl.
        helm: installs the chart, and uninstalls it when it is closed.
        chart: the operator's chart.
        load_images: makes the images the chart asks for present in the cluster.
    """

    def __init__(
        self,
        handle: ClusterHandle,
        runner: Runner,
        helm: HelmDeployer,
        chart: Chart,
        *,
        load_images: Callable[[Chart], object],
    ) -> None:
        self._handle = handle
        self._runner = runner
        self._helm = helm
        self._chart = chart
        self._load_images = load_images

    def install(
        self,
        *,
        namespace: str = NAMESPACE,
        values: Mapping[str, Any] | None = None,
        create_namespace: bool = True,
        timeout_s: float = 120.0,
    ) -> SeldonCore:
        """Install the chart as release ``seldon-core`` and return once the operator's webhook answers.

        Args:
            namespace: where.
            values: further values for the chart, e.g. ``{"defaultUserID": ""}``.
            create_namespace: make the namespace when it is not there; it stays when the operator goes.
            timeout_s: limit for chart and webhook together; loading the images comes before.

        Raises:
            DeployError: the cluster refused the chart, e.g. because Seldon Core is there already.
            RolloutError: the operator's pod will not become ready.
            SeldonOperatorError: the operator runs and its webhook does not answer.
        """
        self._load_images(self._chart)
        deadline = Deadline(timeout_s)
        release = self._helm.install(
            RELEASE,
            self._chart.path,
            namespace=namespace,
            values=Values(inline=merged_values(VALUES, values or {})),
            create_namespace=create_namespace,
            timeout_s=timeout_s,
        )
        try:
            self._wait_for_webhook(namespace, deadline.remaining_s(at_least=1.0))
        except SeatrialError as error:
            try:
                self._helm.uninstall(release)
            except SeatrialError as left:
                error.facts["left"] = str(left)
            raise
        provenance = self._chart.provenance
        return SeldonCore(release, provenance.version, self._chart.published, self._chart.published, provenance.how)

    def uninstall(self, core: SeldonCore, *, timeout_s: float | None = None) -> None:
        """Uninstall the release; with the definition of the kind go all SeldonDeployments, and what was made of them.

        Raises:
            WaitTimeoutError: something is still there; the message says what holds it.
        """
        self._helm.uninstall(core.release, timeout_s=timeout_s)

    def _wait_for_webhook(self, namespace: str, timeout_s: float) -> None:
        attempted = f"get an answer from the webhook of Seldon's operator in namespace '{namespace}'"
        try:
            wait_until(
                attempted,
                lambda: self._ask(namespace),
                done=_has_answered,
                timeout_s=timeout_s,
                poll_interval_s=_ASK_INTERVAL_S,
                describe=lambda outcome: outcome.stderr.strip() or "it takes what it has to refuse: nobody asks it",
            )
        except WaitTimeoutError as error:
            problem = operator_problem(self._handle)
            raise SeldonOperatorError(
                f"{attempted} within {timeout_s:g} s",
                seen=f"{error.seen}\n{problem}" if problem else error.seen,
                hint="see the operator's log, and whether the API server reaches Services",
            ) from error

    def _ask(self, namespace: str) -> Outcome:
        args = kubectl.apply(namespace=namespace, dry_run="server")
        return self._runner.run(self._handle.kubectl_command(*args, stdin=json.dumps(_REFUSED_BY_WEBHOOK)))


def _has_answered(outcome: Outcome) -> bool:
    return _REFUSAL in outcome.stderr
