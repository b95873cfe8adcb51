"""Runs a chart's case in a cluster: step by step, answers checked, nothing left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from harness.access.endpoint import Endpoint
from harness.charts import discovery
from harness.charts.case import Answer, ChartCase, Step, Traffic
from harness.charts.leftovers import Belongings, Found, Inventory, wait_until_nothing_is_left
from harness.cluster.provider import ClusterHandle
from harness.commands import kubectl
from harness.commands.helm import Values, is_hook
from harness.deploy.helm import HelmDeployer
from harness.deploy.manifests import Manifest
from harness.deploy.release import Release, ResourceRef
from harness.deploy.rollout import pod_selector, wait_for_release
from harness.deploy.settled import wait_until_settled
from harness.deploy.watching import reading
from harness.errors import DeployError, SeatrialError
from harness.process.runner import Runner
from harness.settings.model import DeploySettings
from harness.wait import Deadline

Judge = Callable[[Manifest, str], object]


class Probe(Protocol):
    """Traffic that runs."""

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Name what happens while the block runs."""


class Versions(Protocol):
    """Gives the charts of a case as Helm can install them."""

    def current(self, case: ChartCase) -> Path:
        """Return today's chart."""

    def earlier(self, case: ChartCase) -> Path:
        """Return the earlier version."""

    def definitions(self, case: ChartCase) -> Sequence[str]:
        """Name the definitions of custom kinds in crds/, which Helm installs and leaves."""


class Quay(Protocol):
    """What a voyage needs of the cluster's surroundings."""

    def fresh_namespace(self, name: str) -> AbstractContextManager[str]:
        """Have a namespace of one's own while the block runs."""

    def fixed_namespace(self, name: str) -> AbstractContextManager[str]:
        """Have the namespace `name` to oneself while the block runs."""

    def turn_with_namespace(self, name: str) -> AbstractContextManager[str]:
        """Have the name to oneself while the block runs, for a chart that makes the namespace itself."""

    def reach(self, answer: Answer, namespace: str) -> AbstractContextManager[Endpoint]:
        """Have a way to what must answer while the block runs."""

    def ask(self, endpoint: Endpoint, answer: Answer) -> None:
        """Ask once it answers at all; raise ``AssertionError`` for a wrong answer."""

    def under_traffic(
        self, endpoint: Endpoint, answer: Answer, traffic: Traffic, name: str
    ) -> AbstractContextManager[Probe]:
        """Send requests while the block runs; raise ``AssertionError`` after it when the error budget was exceeded."""

    def expect_load_balancers(self) -> None:
        """Have something in the cluster that gives Services of type LoadBalancer an address."""

    def step(self, what: str) -> AbstractContextManager[None]:
        """Record what happens while the block runs."""


@dataclass(frozen=True)
class StepTaken:
    """A step that was taken.

    Args:
        step: which.
        duration_s: seconds it took.
        revision: the release's revision after it, 0 when there is none.
        told: what it said: a failed step's error, the tests' logs.
    """

    step: Step
    duration_s: float
    revision: int = 0
    told: str = ""


@dataclass(frozen=True)
class Log:
    """What a voyage was.

    Args:
        case: which case.
        steps: the steps that were taken, in order.
        left: what was left and allowed to, as KIND/NAME; it was removed.
    """

    case: ChartCase
    steps: tuple[StepTaken, ...]
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.case.id}: {len(self.steps)} steps in {sum(one.duration_s for one in self.steps):.1f} s"]
            + [f"  {one.duration_s:5.1f} s  {one.step}" for one in self.steps]
        )


@dataclass
class Voyage:
    """Takes cases through a cluster.

    Args:
        handle: the cluster.
        helm: deploys; closing it is its owner's business.
        runner: runs kubectl.
        versions: gives the charts.
        quay: reaches and asks what was deployed.
        judge: has the API server try documents without keeping them, in a namespace that is there.
        settings: limits.
    """

    handle: ClusterHandle
    helm: HelmDeployer
    runner: Runner
    versions: Versions
    quay: Quay
    judge: Judge
    settings: DeploySettings

    def run(self, case: ChartCase) -> Log:
        """Take every step of a case; when it fails, what it made is removed.

        Raises:
            ChartError: the chart or its values are malformed.
            DeployError: the cluster refused something, or a step that was to fail did not.
            ChartTestError: the chart's own test failed.
            RolloutError: something will not become ready; the message names it.
            LeftoverError: something is left.
            ScoreMismatch: an answer was wrong.
            ErrorBudgetExceeded: more requests failed meanwhile than are allowed.
        """
        with ExitStack() as stack:
            for name in case.makes:
                stack.enter_context(self.quay.turn_with_namespace(name))
            if not case.namespace:
                namespace = stack.enter_context(self.quay.fresh_namespace(case.release))
            elif case.namespace == "default":
                namespace = case.namespace
            else:
                namespace = stack.enter_context(self.quay.fixed_namespace(case.namespace))
            own = (*case.makes, *((namespace,) if namespace != "default" else ()))
            return _Passage(self, case, namespace, own).run()


@dataclass
class _Passage:
    """One case on its way.

    Args:
        voyage: what it is taken with.
        case: the case.
        namespace: where the release goes.
        own: the namespaces that nobody else uses meanwhile.
    """

    voyage: Voyage
    case: ChartCase
    namespace: str
    own: tuple[str, ...]
    release: Release | None = None
    taken: list[StepTaken] = field(default_factory=list)
    # What the release's documents named, in any of its revisions.
    named: set[str] = field(default_factory=set)

    def run(self) -> Log:
        with reading(self.voyage.handle) as reader:
            inventory = Inventory(reader, dict.fromkeys((self.namespace, *self.own)))
            before = inventory.take()
            try:
                self._take_steps()
                left = () if self.release else self._see_nothing_left(inventory, before)
            finally:
                self._withdraw(inventory, before)
        return Log(self.case, tuple(self.taken), tuple(one.name for one in left))

    def _take_steps(self) -> None:
        probe: Probe | None = None
        with ExitStack() as traffic:
            for step in self.case.steps:
                if step.verb == "uninstall":
                    traffic.close()  # what goes away may well stop answering
                    probe = None
                with probe.phase(str(step)) if probe else nullcontext():
                    self._take(step)
                if self.case.traffic and step.verb == "score" and probe is None:
                    probe = traffic.enter_context(self._traffic(self.case.traffic))

    # -- steps

    def _take(self, step: Step) -> None:
        watch = Deadline(0.0)
        told = ""
        with self.voyage.quay.step(f"{self.case.id}: {step}"):
            try:
                told = self._do(step)
            except SeatrialError as error:
                told = str(error)
                if not (step.fails and re.search(step.fails, told)):
                    raise
            else:
                if step.fails:
                    raise DeployError(
                        f"see step '{step.verb}' of case '{self.case.id}' fail",
                        seen="it succeeded",
                        hint=f"it was to fail with '{step.fails}'",
                    )
        self.taken.append(StepTaken(step, watch.elapsed_s(), self.release.revision if self.release else 0, told))

    def _do(self, step: Step) -> str:
        helm, name = self.voyage.helm, self.case.release
        if step.verb == "install":
            self._judge(step)
            self._settle(helm.install(name, self._chart(step), namespace=self.namespace, values=self._values(step)))
        elif step.verb == "upgrade":
            self._judge(step)
            self._settle(self._upgrade(step))
        elif step.verb == "rollback":
            self._settle(helm.rollback(name, step.revision, namespace=self.namespace))
        elif step.verb == "uninstall":
            helm.uninstall(self._known())
            self.release = None
        elif step.verb == "test":
            return helm.test(name, namespace=self.namespace)
        elif step.verb == "score":
            self._score()
        elif step.verb == "delete-pod":
            self._delete_pods()
        else:
            self._drain()
        return ""

    def _judge(self, step: Step) -> None:
        """Have the API server try every document, if only those of today's chart: the earlier one is out already."""
        if step.previous or step.fails:
            return
        with reading(self.voyage.handle) as reader:
            manifest = self.voyage.helm.template(
                self.case.release,
                self._chart(step),
                namespace=self.namespace,
                values=self._values(step),
                kube_version=self.voyage.handle.kubernetes,
                api_versions=discovery.api_versions(reader),
            )
            # Helm deletes a hook's object before it makes it again: what is there does not stand in its way.
            tried = [
                document.body
                for document, ref in zip(chain(*manifest.in_order()), manifest.refs(self.namespace), strict=True)
                if not (is_hook(document.body) and reader.exists(ref))
            ]
        if tried:
            self.voyage.judge(Manifest.load(tried), self.namespace)

    def _upgrade(self, step: Step) -> Release:
        try:
            return self.voyage.helm.upgrade(
                self.case.release, self._chart(step), namespace=self.namespace, values=self._values(step)
            )
        except DeployError:
            if step.fails and self.release:
                # Taken back by a rollback that nobody waited for.
                wait_for_release(self.voyage.handle, self.release, self.voyage.settings.rollout_timeout_s)
            raise

    def _score(self) -> None:
        for answer in self.case.answers:
            with self.voyage.quay.reach(answer, answer.namespace or self.namespace) as endpoint:
                self.voyage.quay.ask(endpoint, answer)

    def _delete_pods(self) -> None:
        """Delete one pod of each workload that runs for good, and wait until another has taken its place."""
        limit_s = self.voyage.settings.rollout_timeout_s
        for ref in self._lasting():
            pod = f"pod/{self._pods(ref)[0]['metadata']['name']}"
            self._kubectl(*kubectl.delete(pod, namespace=ref.namespace, timeout_s=limit_s), timeout_s=limit_s)
        self.voyage.helm.wait(self._known())

    def _drain(self) -> None:
        """Drain the worker that most of the release's pods are on, wait until they run elsewhere, and give it back."""
        handle = self.voyage.handle
        attempted = f"drain a node of cluster '{handle.name}'"
        if handle.provider != "kind":
            raise DeployError(attempted, seen="the cluster is not Seatrial's", hint="leave the step out there")
        workers = [name for name in handle.nodes if "control-plane" not in name]
        if len(workers) < 2:  # noqa: PLR2004 - pods need somewhere else to go
            raise DeployError(
                attempted,
                seen=f"it has {len(workers)} workers: pods have nowhere to go",
                hint="use a cluster with two: ClusterSpec.of_size(version, workers=2)",
            )
        homes = [pod["spec"].get("nodeName") for ref in self._lasting() for pod in self._pods(ref)]
        node = max(workers, key=homes.count)
        limit_s = self.voyage.settings.rollout_timeout_s
        try:
            self._kubectl(*kubectl.drain(node, timeout_s=limit_s), timeout_s=limit_s)
            self.voyage.helm.wait(self._known())
        finally:
            self._kubectl(*kubectl.uncordon(node), timeout_s=limit_s)

    # -- within

    def _chart(self, step: Step) -> Path:
        versions = self.voyage.versions
        return versions.earlier(self.case) if step.previous else versions.current(self.case)

    def _values(self, step: Step) -> Values:
        return self.case.values_of(step)

    def _settle(self, release: Release) -> None:
        """Wait for what Helm's deployer does not: hooks have ended and workloads have rolled out already."""
        self.release = release
        self.named |= {f"{ref.kind}/{ref.name}" for ref in release.resources}
        if hooks := self.voyage.helm.get_hooks(release.name, namespace=release.namespace).strip():
            self.named |= {f"{ref.kind}/{ref.name}" for ref in Manifest.load(hooks).refs(release.namespace)}
        if any(body["kind"] == "Service" and body["spec"].get("type") == "LoadBalancer" for body in release.manifest):
            self.voyage.quay.expect_load_balancers()
        limit_s = self.voyage.settings.rollout_timeout_s
        wait_until_settled(self.voyage.handle, release, limit_s, conditions=self.case.ready)

    def _known(self) -> Release:
        if self.release is None:
            raise DeployError(
                f"go on with case '{self.case.id}'",
                seen="nothing is installed at this step",
                hint="let a step 'install' that is not meant to fail come before it",
            )
        return self.release

    def _lasting(self) -> list[ResourceRef]:
        lasting = ("Deployment", "StatefulSet")
        return [ref for ref in self._known().resources if ref.kind in lasting]

    def _pods(self, ref: ResourceRef) -> Sequence[Mapping[str, Any]]:
        with reading(self.voyage.handle) as reader:
            selector = pod_selector(reader.find(ref))
            found = reader.get(f"/api/v1/namespaces/{ref.namespace}/pods", labelSelector=selector)["items"]
        running = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        if not running:
            raise DeployError(f"find the pods of {ref}", seen="there are none", hint="ask for at least one replica")
        return sorted(running, key=lambda pod: str(pod["metadata"]["name"]))

    def _kubectl(self, *args: str, timeout_s: float) -> None:
        self.voyage.runner.run(self.voyage.handle.kubectl_command(*args, timeout_s=timeout_s + 10)).check()

    @contextmanager
    def _traffic(self, traffic: Traffic) -> Iterator[Probe]:
        answer, quay = self.case.answers[0], self.voyage.quay
        with (
            quay.reach(answer, answer.namespace or self.namespace) as endpoint,
            quay.under_traffic(endpoint, answer, traffic, self.case.id) as probe,
        ):
            yield probe

    # -- the end

    def _belongings(self) -> Belongings:
        named = {*self.named, *self.voyage.versions.definitions(self.case)}
        return Belongings(self.case.release, self.own, named, self.case.leaves)

    def _see_nothing_left(self, inventory: Inventory, before: Mapping[str, Found]) -> Sequence[Found]:
        limit_s = self.voyage.settings.rollout_timeout_s / 4  # what is collected at all goes within seconds
        with self.voyage.quay.step(f"{self.case.id}: nothing is left"):
            return wait_until_nothing_is_left(inventory, before, self._belongings(), limit_s)

    def _withdraw(self, inventory: Inventory, before: Mapping[str, Found]) -> None:
        """Remove what the case made and is still there, whatever became of it."""
        if self.release is not None:
            self.voyage.helm.uninstall(self.release)
        found = self._belongings().among(before, inventory.take())
        bodies = [one.reference() for one in found if one.is_removable]
        if bodies:
            limit_s = self.voyage.settings.rollout_timeout_s
            command = self.voyage.handle.kubectl_command(
                *kubectl.delete_documents(timeout_s=limit_s),
                stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}),
                timeout_s=limit_s + 10,
            )
            self.voyage.runner.run(command).check()
