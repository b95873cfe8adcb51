"""What deployers of all of Bodywork's versions do: ask its command line, and take back what it made."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from harness.cluster.provider import ClusterHandle
from harness.commands import kubectl
from harness.commands.bodywork import Problem, StageLog
from harness.deploy.deployer import ClusterDeployer, Witness
from harness.deploy.release import Release, ResourceRef
from harness.deploy.watching import reading
from harness.errors import BodyworkError, BodyworkProjectError, BodyworkStageError
from harness.process.outcome import Outcome
from harness.process.runner import LineSink, Runner
from harness.settings.model import DeploySettings
from harness.wait import Deadline

METHOD = "bodywork"
RBAC = "rbac.authorization.k8s.io/v1"
# The account that runs workflows in the cluster, its role and, with the namespace's name behind it, its binding.
CONTROLLER = "bodywork-workflow-controller"

# Commands that ask the API server a few questions; importing the kubernetes client takes Bodywork 2 s of it.
COMMAND_TIMEOUT_S = 60.0
# Bodywork gives each stage its own limit and 90 s more: three stages of two minutes.
WORKFLOW_TIMEOUT_S = 600.0
# Of pods that have nothing to save, and for them to be gone.
_POD_GRACE_S, _POD_TIMEOUT_S = 1, 4.0

_PROJECT_REASONS = frozenset(
    {
        "no such branch",
        "no such repository",
        "bad URL",
        "malformed configuration",
        "invalid configuration",
        "wrong configuration version",
        "no such image",
        "bad image name",
        "name taken",
    }
)
_STAGE_REASONS = frozenset(
    {"bad requirement", "stage failed", "stage timed out", "service timed out", "race in Bodywork"}
)


@dataclass(frozen=True)
class Workflow:
    """A workflow that succeeded.

    Args:
        release: the services it deployed, those of earlier workflows of the project included.
        stages: what its stages wrote, in their order; of a service stage, what one pod had written when it was ready.
        duration_s: seconds it took.
        output: all that Bodywork wrote.
        log: the file of the evidence that has it, too, line by line as it came; empty where nobody keeps it.
    """

    release: Release
    stages: tuple[StageLog, ...]
    duration_s: float
    output: str
    log: str


class Program(Protocol):
    """Runs ``bodywork``: :class:`~harness.deploy.bodywork_container.BodyworkContainer`."""

    def run(self, args: tuple[str, ...], *, timeout_s: float, on_line: LineSink) -> Outcome:
        """Run one command to its end; raise for what kept it from running at all."""


class AnyBodyworkDeployer(ClusterDeployer):
    """Runs pipelines from git through Bodywork; closing it removes what it made.

    Args:
        handle: the cluster.
        runner: runs kubectl.
        settings: limits.
        program: runs Bodywork.
        witness: told what is deployed, and what Bodywork writes.
    """

    def __init__(
        self,
        handle: ClusterHandle,
        runner: Runner,
        settings: DeploySettings,
        *,
        program: Program,
        witness: Witness | None = None,
    ) -> None:
        super().__init__(handle, runner, settings, witness=witness)
        self._program = program

    @abstractmethod
    def _problem(self, output: str, exit_code: int) -> Problem | None:
        """Say why a command did not do what it was asked to; ``None`` when it did."""

    def leftovers(self, namespace: str) -> tuple[ResourceRef, ...]:
        """Return what setting `namespace` up made outside of it, and what deleting it therefore leaves.

        The ClusterRole is shared: it counts only when no other namespace is bound to it.
        """
        binding = ResourceRef("ClusterRoleBinding", f"{CONTROLLER}--{namespace}", api_version=RBAC)
        role = ResourceRef("ClusterRole", CONTROLLER, api_version=RBAC)
        with reading(self._api) as reader:
            bindings = reader.get(f"/apis/{RBAC}/clusterrolebindings")["items"]
            others = [
                item["metadata"]["name"]
                for item in bindings
                if item["roleRef"]["name"] == CONTROLLER and item["metadata"]["name"] != binding.name
            ]
            return tuple(ref for ref in (binding, *(() if others else (role,))) if reader.exists(ref))

    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """Delete a release's objects and return when they and their pods are gone; see :meth:`Deployer.delete`.

        A namespace goes with all that is in it. A ClusterRole that another namespace needs stays.

        Raises:
            WaitTimeoutError: some are not gone in time; the message says what holds each.
        """
        deadline = Deadline(timeout_s or self._settings.rollout_timeout_s)
        refs = [ref for ref in release.resources if ref.kind not in {"ClusterRole", "ClusterRoleBinding"}]
        if len(refs) < len(release.resources):
            refs += self.leftovers(release.namespace)
        namespaces = [ref.name for ref in refs if ref.kind == "Namespace"]
        # What is in a namespace that goes need not be named.
        refs = [ref for ref in refs if ref.namespace not in namespaces]
        for ref in refs:
            if ref.kind == "Namespace":
                self._delete_namespace(ref.name)
                continue
            limit_s = deadline.remaining_s(at_least=1.0)
            args = kubectl.delete(f"{_resource(ref)}/{ref.name}", namespace=ref.namespace, timeout_s=limit_s)
            self._kubectl(*args, timeout_s=limit_s + 10)
        self._wait_until_gone(Release(release.name, release.namespace, METHOD, tuple(refs)), deadline)
        if release.resources:
            self._live.forget(release.namespace, release.name)

    def _delete_namespace(self, name: str) -> None:
        """Have a namespace begin to go, its pods being gone already.

        Bodywork is process 1 of its pods and hears no SIGTERM: they would use up their 30 s, and a namespace that
        finds pods looks again after 16 s. So the pods go first, and nobody makes new ones. Of those that were told to
        go before, by a rollout, a kubelet of 1.21 does not cut the time short: they are not waited for, their node ends
        them. What the API server does not let go of even so is the namespace's to tell of.
        """
        self._kubectl(*kubectl.delete_controllers(namespace=name))
        pods = kubectl.delete_pods(namespace=name, grace_s=_POD_GRACE_S, timeout_s=_POD_TIMEOUT_S)
        if not self._runner.run(self._handle.kubectl_command(*pods)).succeeded:
            self._kubectl(*kubectl.forget_pods(namespace=name))
        self._kubectl(*kubectl.delete_namespace(name))

    def _bodywork(
        self, attempted: str, args: tuple[str, ...], *, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[Outcome, str]:
        """Run one command and hold what it says against what it was asked for; return that, and the file it is in."""
        outcome, log = self._run(attempted, args, timeout_s)
        self._hold_to_account(attempted, outcome, log)
        return outcome, log

    def _run(self, attempted: str, args: tuple[str, ...], timeout_s: float) -> tuple[Outcome, str]:
        words = [word for word in args[:2] if not word.startswith("-")]
        with self._witness.waiting(attempted), self._witness.log("-".join(["bodywork", *words])) as log:
            return self._program.run(args, timeout_s=timeout_s, on_line=log.write), log.path

    def _kubectl(self, *args: str, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        self._runner.run(self._handle.kubectl_command(*args, timeout_s=timeout_s)).check()

    def _exists(self, ref: ResourceRef) -> bool:
        with reading(self._api) as reader:
            return reader.exists(ref)

    def _hold_to_account(self, attempted: str, outcome: Outcome, log: str) -> None:
        """Raise what kept Bodywork from doing what it was asked to, if anything did."""
        problem = self._problem(output_of(outcome), outcome.exit_code)
        if problem is not None:
            raise error_of(attempted, problem, output_of(outcome), log)


def output_of(outcome: Outcome) -> str:
    """Return all that a command wrote."""
    return f"{outcome.stdout}\n{outcome.stderr}"


def error_of(attempted: str, problem: Problem, output: str, log: str) -> BodyworkError:
    """Return the error whose type says what the caller can do about `problem`."""
    kind: type[BodyworkError] = BodyworkError
    if problem.reason in _PROJECT_REASONS:
        kind = BodyworkProjectError
    elif problem.reason in _STAGE_REASONS:
        kind = BodyworkStageError
    return kind(attempted, reason=problem.reason, output=output, log=log, seen=problem.message, hint=problem.hint)


def _resource(ref: ResourceRef) -> str:
    """Return the kind as kubectl takes it, with its API group: several groups have an Ingress."""
    group, _, version = ref.api_version.rpartition("/")
    return f"{ref.kind.lower()}.{version}.{group}" if group else ref.kind.lower()
