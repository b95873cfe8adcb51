"""Deploying charts with Helm: the real binary, its files kept apart from the user's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cluster.provider import ClusterHandle
from harness.commands import helm, kubectl
from harness.commands.helm import Args, Dialect, ListedRelease, ReleaseReport, Revision, Values
from harness.deploy.deployer import LabellingDeployer, Witness
from harness.deploy.manifests import Manifest
from harness.deploy.release import Release, ResourceRef
from harness.deploy.watching import reading
from harness.errors import ChartError, ChartTestError, DeployError, SeatrialError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import Runner
from harness.settings.model import DeploySettings
from harness.wait import Deadline

NO_VALUES = Values()
# Says to Helm what uninstalling is to leave (helm.sh/docs/howto/charts_tips_and_tricks, Helm 3.20).
_POLICY = "helm.sh/resource-policy"
# Nothing holds Helm's records: this is for a server that is busy.
_PURGE_S = 30.0
# Of a failed test's log: assertions are printed last.
_HOOK_LOG_LINES = 40


class HelmDeployer(LabellingDeployer):
    """Lints, renders, installs, upgrades, rolls back and uninstalls charts.

    Helm itself only sends the documents; readiness is watched by :mod:`harness.deploy.rollout`, which is quicker than
    Helm's polling every two seconds and stops early with the reason.

    Args:
        handle: the cluster.
        runner: runs helm.
        settings: limits.
        helm: path of the program.
        home: directory of the run's own where Helm keeps its cache, configuration and plugins.
        labels: put on Helm's release records, so that it is known who made them.
        dialect: the program's major version.
        witness: told what is deployed.
    """

    def __init__(
        self,
        handle: ClusterHandle,
        runner: Runner,
        settings: DeploySettings,
        *,
        helm: Path,
        home: Path,
        labels: Mapping[str, str] | None = None,
        dialect: Dialect | None = None,
        witness: Witness | None = None,
    ) -> None:
        super().__init__(handle, runner, settings, labels=labels, witness=witness)
        self._helm = helm
        self._home = home
        self._dialect = dialect or Dialect()

    def run(self, *args: str, timeout_s: float | None = None, stdin: str | None = None) -> Outcome:
        """Run helm with `args` against the cluster and return how it ended, whatever that was."""
        env = {
            **helm.environment(self._home),
            **self._handle.environment(),
            "HELM_KUBECONTEXT": self._handle.context,
        }
        # Helm's own --timeout ends hooks first; the margin is for Helm to say so.
        limit_s = (timeout_s or self._settings.helm_timeout_s) + 10
        return self._runner.run(Command((str(self._helm), *args), env=env, timeout_s=limit_s, stdin=stdin))

    # --- looking at charts ---------------------------------------------------------------------------------------

    def lint(self, chart: Path, *, values: Values = NO_VALUES, strict: bool = False) -> tuple[str, ...]:
        """``helm lint``: return its warnings.

        Raises:
            ChartError: it found errors.
        """
        outcome = self.run(*helm.lint(chart, values=values, strict=strict), stdin=values.stdin())
        told = helm.parse_lint(outcome.stdout)
        if not outcome.succeeded:
            self._refuse(f"lint chart '{chart}'", outcome, "\n".join(told) or outcome.stdout)
        return told

    def template(
        self,
        release: str,
        chart: Path,
        *,
        namespace: str = "default",
        values: Values = NO_VALUES,
        kube_version: str = "",
        api_versions: Iterable[str] = (),
    ) -> Manifest:
        """``helm template``: return the documents as rendered without a cluster.

        Args:
            release: the release's name.
            chart: the chart's directory or archive.
            namespace: where documents that name no namespace go.
            values: values for the chart.
            kube_version: the Kubernetes version to render for, Helm's own idea of one by default.
            api_versions: what templates find in ``.Capabilities.APIVersions`` besides what Helm knows itself, e.g.
                ``monitoring.coreos.com/v1/ServiceMonitor``.

        Raises:
            ChartError: the chart or its values are malformed.
        """
        args = helm.template(
            release, chart, namespace=namespace, values=values, kube_version=kube_version, api_versions=api_versions
        )
        outcome = self._check(f"render chart '{chart}'", self.run(*args, stdin=values.stdin()))
        return Manifest.load(outcome.stdout)

    def package(self, chart: Path, *, into: Path) -> Path:
        """``helm package``: pack a chart's directory and return the archive.

        Raises:
            ChartError: the chart is malformed.
        """
        outcome = self._check(f"package chart '{chart}'", self.run(*helm.package(chart, into=into)))
        return Path(outcome.stdout.rpartition(": ")[2].strip())

    def push(self, archive: Path, registry: str, *, plain_http: bool = False) -> None:
        """``helm push``: put a packaged chart into a registry, e.g. ``oci://HOST/charts``.

        Raises:
            DeployError: the registry did not take it.
        """
        attempted = f"push chart '{archive}' to '{registry}'"
        self._check(attempted, self.run(*helm.push(archive, registry, plain_http=plain_http)))

    # --- releases ------------------------------------------------------------------------------------------------

    def install(
        self,
        release: str,
        chart: Path,
        *,
        namespace: str = "default",
        values: Values = NO_VALUES,
        create_namespace: bool = False,
        wait: bool = True,
        timeout_s: float | None = None,
        keep_failed: bool = False,
    ) -> Release:
        """``helm install``, then wait for the release's workloads.

        Args:
            release: its name.
            chart: the chart's directory or archive.
            namespace: where the release is recorded, and where documents that name no namespace go.
            values: values for the chart.
            create_namespace: make that namespace when it is not there.
            wait: whether to wait for the workloads to roll out.
            timeout_s: limit for Helm and that wait, the settings' by default.
            keep_failed: leave a failed release to be looked at, until :meth:`uninstall` or :meth:`close`.

        Raises:
            ChartError: the chart or its values are malformed; nothing was installed.
            DeployError: the cluster refused a document, or there is a release of that name.
            RolloutError: a workload will not become ready.
        """
        limit_s = timeout_s or self._settings.helm_timeout_s
        deadline = Deadline(limit_s)
        args = helm.install(
            release,
            chart,
            namespace=namespace,
            values=values,
            dialect=self._dialect,
            timeout_s=limit_s,
            create_namespace=create_namespace,
            labels=self._labels,
        )
        stub = Release(release, namespace, "helm")
        attempted = f"install chart '{chart}' as release '{release}' in namespace '{namespace}'"
        withdraw = self._live.enter(namespace, release, lambda: self.uninstall(stub))
        outcome = self.run(*args, timeout_s=limit_s, stdin=values.stdin())
        if not outcome.succeeded and "cannot reuse a name that is still in use" in outcome.stderr.replace(
            "re-use", "reuse"
        ):
            # Somebody else's: forgotten, so that it is never uninstalled from here.
            withdraw()
            hint = "upgrade or uninstall that release, or choose another name"
            raise DeployError(attempted, seen="there is a release of that name already", hint=hint)

        def settle() -> Release:
            made = self._reported(attempted, outcome, namespace)
            withdraw()
            self._live.enter(namespace, release, lambda: self.uninstall(made))
            self._witness.deployed(made)
            return self._settled(made, deadline, wait=wait)

        def take_back() -> None:
            sent = self._as_sent(stub)
            if not outcome.succeeded:
                self._witness.deployed(sent)
            if not keep_failed:
                self._witness.leaving(sent)
                self.uninstall(sent)

        return self._or_undo(settle, take_back)

    def upgrade(
        self,
        release: str,
        chart: Path,
        *,
        namespace: str = "default",
        values: Values = NO_VALUES,
        reuse_values: bool = False,
        wait: bool = True,
        timeout_s: float | None = None,
        keep_failed: bool = False,
    ) -> Release:
        """``helm upgrade``, then wait; a failed upgrade is rolled back to the revision before.

        Args:
            release: its name.
            chart: the chart's directory or archive.
            namespace: where the release is recorded.
            values: values for the chart.
            reuse_values: keep the last revision's values under the new ones.
            wait: whether to wait for the workloads to roll out.
            timeout_s: limit for Helm and that wait, the settings' by default.
            keep_failed: leave the failed revision in place.

        Raises:
            ChartError: the chart or its values are malformed; nothing was changed.
            DeployError: the cluster refused a document, or there is no such release.
            RolloutError: a workload will not become ready.
        """
        limit_s = timeout_s or self._settings.helm_timeout_s
        deadline = Deadline(limit_s)
        before = self.history(release, namespace=namespace)[-1].number
        args = helm.upgrade(
            release,
            chart,
            namespace=namespace,
            values=values,
            dialect=self._dialect,
            timeout_s=limit_s,
            reuse_values=reuse_values,
            labels=self._labels,
        )
        attempted = f"upgrade release '{release}' in namespace '{namespace}' with chart '{chart}'"
        outcome = self.run(*args, timeout_s=limit_s, stdin=values.stdin())

        def settle() -> Release:
            made = self._reported(attempted, outcome, namespace)
            self._witness.deployed(made)
            return self._settled(made, deadline, wait=wait)

        def take_back() -> None:
            if not keep_failed and self.history(release, namespace=namespace)[-1].number != before:
                self._witness.leaving(self._as_sent(Release(release, namespace, "helm")))
                self.rollback(release, before, namespace=namespace, wait=False)

        return self._or_undo(settle, take_back)

    def test(self, release: str, *, namespace: str = "default", timeout_s: float | None = None) -> str:
        """``helm test``: run the release's test hooks and return what Helm and the tests said.

        Args:
            release: its name.
            namespace: where the release is recorded.
            timeout_s: limit, the settings' by default.

        Raises:
            ChartTestError: a test failed, or did not end in time; what it printed is in the message.
            DeployError: there is no such release.
        """
        limit_s = timeout_s or self._settings.helm_timeout_s
        outcome = self.run(*helm.test(release, namespace=namespace, timeout_s=limit_s), timeout_s=limit_s)
        if not outcome.succeeded and (failed := helm.parse_failed_tests(outcome.stdout)):
            logs = [self._log_of(f"pod/{name}", namespace) for name in failed]
            raise ChartTestError(
                f"see the tests of release '{release}' succeed",
                seen="\n".join([outcome.stderr.strip(), *logs]),
                hint="see what the test asks of the service",
            )
        return self._check(f"test release '{release}'", outcome).stdout

    def _log_of(self, hook: str, namespace: str) -> str:
        """Return the end of what a hook printed, a pod or a job as ``KIND/NAME``."""
        command = self._handle.kubectl_command(*kubectl.logs(hook, namespace=namespace, tail=_HOOK_LOG_LINES))
        outcome = self._runner.run(command)
        return f"log of '{hook.partition('/')[2]}':\n{(outcome.stdout or outcome.stderr).strip()}"

    def get_hooks(self, release: str, *, namespace: str = "default") -> str:
        """``helm get hooks``: the documents of the release's hooks."""
        return self._get(helm.get_hooks(release, namespace=namespace), release)

    def dry_run(self, release: str, chart: Path, *, namespace: str = "default", values: Values = NO_VALUES) -> Release:
        """``helm install --dry-run``: render against the cluster and install nothing.

        Raises:
            ChartError: the chart or its values are malformed.
            DeployError: the cluster would refuse.
        """
        args = helm.install(
            release,
            chart,
            namespace=namespace,
            values=values,
            dialect=self._dialect,
            timeout_s=self._settings.helm_timeout_s,
            dry_run=True,
        )
        attempted = f"try out chart '{chart}' as release '{release}'"
        return self._reported(attempted, self.run(*args, stdin=values.stdin()), namespace)

    def status(self, release: str, *, namespace: str = "default") -> ReleaseReport:
        """``helm status``."""
        outcome = self._check(
            f"see the status of release '{release}'", self.run(*helm.status(release, namespace=namespace))
        )
        return helm.parse_release(outcome.stdout)

    def list(self, *, namespace: str = "", all_namespaces: bool = False) -> tuple[ListedRelease, ...]:
        """``helm list``: releases in any state."""
        listed = helm.list_releases(dialect=self._dialect, namespace=namespace, all_namespaces=all_namespaces)
        outcome = self.run(*listed)
        return helm.parse_list(self._check("list the releases", outcome).stdout)

    def history(self, release: str, *, namespace: str = "default") -> tuple[Revision, ...]:
        """``helm history``, oldest first."""
        outcome = self.run(*helm.history(release, namespace=namespace))
        return helm.parse_history(self._check(f"see the history of release '{release}'", outcome).stdout)

    def rollback(
        self,
        release: str,
        revision: int = 0,
        *,
        namespace: str = "default",
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Release:
        """``helm rollback`` to `revision` (0: the last before this one that did not fail), then wait.

        Raises:
            DeployError: there is no such release or revision.
            RolloutError: a workload will not become ready.
        """
        limit_s = timeout_s or self._settings.helm_timeout_s
        deadline = Deadline(limit_s)
        revision = revision or helm.last_good(self.history(release, namespace=namespace))
        args = helm.rollback(release, revision, namespace=namespace, dialect=self._dialect, timeout_s=limit_s)
        self._check(
            f"roll release '{release}' back to revision {revision or 'before'}", self.run(*args, timeout_s=limit_s)
        )
        made = self._release(self.status(release, namespace=namespace))
        made = replace(made, manifest=Manifest.load(self.get_manifest(release, namespace=namespace)).bodies)
        return self._settled(made, deadline, wait=wait)

    def uninstall(self, release: Release | str, *, namespace: str = "default", timeout_s: float | None = None) -> None:
        """``helm uninstall``; returns when the release's objects and their pods are gone.

        Helm gives up, and keeps its record, when the definition of a kind that is in the release went first: every
        object of that kind went with it. Then what is left of the release is deleted here, without its hooks, and so is
        the record; of a SeldonDeployment that is what the operator made of it. What the chart asks Helm to keep stays
        either way.

        Args:
            release: what :meth:`install` returned, or a name.
            namespace: where a release given by its name is recorded.
            timeout_s: limit, the settings' by default.

        Raises:
            WaitTimeoutError: some objects are still there; the message says what holds each.
        """
        limit_s = timeout_s or self._settings.helm_timeout_s
        deadline = Deadline(limit_s)
        known = release if isinstance(release, Release) else Release(release, namespace, "helm")
        if not known.resources:
            known = self._as_sent(known)
        going = replace(known, resources=_not_kept(known))
        args = helm.uninstall(known.name, namespace=known.namespace, timeout_s=limit_s)
        outcome = self.run(*args, timeout_s=limit_s)
        orphaned = not outcome.succeeded and self._has_lost_kinds(going)
        if orphaned:
            self._delete_left(going, deadline)
        else:
            self._check(f"uninstall release '{known.name}'", outcome)
        # Helm remembers kinds for a while: also where it does not give up, one may be gone.
        self._delete_orphans(going, deadline)
        self._wait_until_gone(going, deadline)
        if orphaned:
            # Last, as Helm does it: while the record is there, the next attempt knows what there is to remove.
            self._purge_record(known)
        self._live.forget(known.namespace, known.name)

    def get_manifest(self, release: str, *, namespace: str = "default", revision: int = 0) -> str:
        """``helm get manifest``; revision 0 is the latest."""
        return self._get(helm.get_manifest(release, namespace=namespace, revision=revision), release)

    def get_notes(self, release: str, *, namespace: str = "default", revision: int = 0) -> str:
        """``helm get notes``; revision 0 is the latest."""
        text = self._get(helm.get_notes(release, namespace=namespace, revision=revision), release).strip()
        return text.removeprefix("NOTES:").strip()

    def get_values(
        self, release: str, *, namespace: str = "default", revision: int = 0, all_values: bool = False
    ) -> Mapping[str, Any]:
        """``helm get values``: what the user gave, or with `all_values` what the templates saw."""
        args = helm.get_values(release, namespace=namespace, revision=revision, all_values=all_values)
        return json.loads(self._get(args, release)) or {}

    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """See :meth:`harness.deploy.deployer.Deployer.delete`."""
        self.uninstall(release, timeout_s=timeout_s)

    # --- within --------------------------------------------------------------------------------------------------

    def _has_lost_kinds(self, release: Release) -> bool:
        """Whether the cluster no longer knows the kind of some object of the release."""
        with reading(self._api) as reader:
            return not all(reader.knows(ref) for ref in release.resources)

    def _delete_left(self, release: Release, deadline: Deadline) -> None:
        """Delete the release's objects whose kinds are there, last made first."""
        with reading(self._api) as reader:
            left = [ref for ref in reversed(release.resources) if reader.exists(ref)]
        for ref in left:
            group, _, version = ref.api_version.rpartition("/")
            kind = f"{ref.kind.lower()}.{version}.{group}" if group else ref.kind.lower()
            limit_s = deadline.remaining_s(at_least=1.0)
            args = kubectl.delete(f"{kind}/{ref.name}", namespace=ref.namespace, timeout_s=limit_s)
            # The margin is for kubectl to say what it waited for; what holds it is told by the wait that follows.
            outcome = self._runner.run(self._handle.kubectl_command(*args).with_timeout(limit_s + 10))
            if not outcome.succeeded and "timed out waiting" not in outcome.stderr:
                outcome.check(hint=f"see `kubectl describe` of {ref}")

    def _purge_record(self, release: Release) -> None:
        """Remove what Helm has on record of a release, all revisions."""
        args = kubectl.delete_labelled(
            helm.RECORDS, helm.record_selector(release.name), namespace=release.namespace, timeout_s=_PURGE_S
        )
        self._runner.run(self._handle.kubectl_command(*args)).check()

    def _get(self, args: Args, release: str) -> str:
        return self._check(f"read what release '{release}' holds", self.run(*args)).stdout

    def _as_sent(self, release: Release) -> Release:
        """Return `release` with the documents that Helm has on record for it, if it has any."""
        outcome = self.run(*helm.get_manifest(release.name, namespace=release.namespace))
        if not (outcome.succeeded and outcome.stdout.strip()):
            return release
        manifest = Manifest.load(outcome.stdout)
        return replace(release, resources=manifest.refs(release.namespace), manifest=manifest.bodies)

    def _settled(self, made: Release, deadline: Deadline, *, wait: bool) -> Release:
        """Return a release, rolled out where that is to be waited for; at least a second is left to see it."""
        if wait:
            self.wait(made, timeout_s=deadline.remaining_s(at_least=1.0))
        return made

    def _reported(self, attempted: str, outcome: Outcome, namespace: str) -> Release:
        """Return the release that Helm says it made; of a hook that failed tell what it printed, while it is there."""
        if not outcome.succeeded and (hook := helm.parse_failed_hook(outcome.stderr)):
            raise DeployError(
                attempted,
                seen=f"{outcome.stderr.strip()}\n{self._log_of(hook, namespace)}",
                hint=f"see what hook '{hook}' does: a release goes on when it ends with exit code 0",
            )
        return self._release(helm.parse_release(self._check(attempted, outcome).stdout))

    @staticmethod
    def _release(report: ReleaseReport) -> Release:
        manifest = Manifest.load(report.manifest) if report.manifest.strip() else Manifest(())
        return Release(
            report.name,
            report.namespace,
            "helm",
            manifest.refs(report.namespace),
            manifest.bodies,
            notes=report.notes,
            revision=report.revision,
            details={"status": report.status},
        )

    @staticmethod
    def _or_undo(settle: Callable[[], Release], take_back: Callable[[], None]) -> Release:
        """Return what `settle` does, or take it back; that taking back failed too is a fact of the first failure."""
        try:
            return settle()
        except SeatrialError as error:
            try:
                if not isinstance(error, ChartError):
                    take_back()
            except SeatrialError as left:
                error.facts["left"] = str(left)
            raise

    def _check(self, attempted: str, outcome: Outcome) -> Outcome:
        if not outcome.succeeded:
            self._refuse(attempted, outcome, outcome.stderr)
        return outcome

    @staticmethod
    def _refuse(attempted: str, outcome: Outcome, told: str) -> None:
        if outcome.timed_out or outcome.not_found:
            outcome.check()
        problem = helm.parse_chart_problem(told)
        if problem is not None:
            raise ChartError(
                attempted,
                problem=problem.problem,
                file=problem.file,
                line=problem.line,
                seen=problem.message,
                hint=problem.hint,
            )
        refusals: Sequence[kubectl.Refusal] = kubectl.parse_refusals(told)
        first = refusals[0] if refusals else kubectl.Refusal(told)
        raise DeployError(
            attempted,
            seen=told,
            hint=_hint_for(first, told),
            kind=first.kind,
            name=first.name,
            field=first.field,
            reason=first.reason,
        )


def _hint_for(refusal: kubectl.Refusal, told: str) -> str:
    if "release: not found" in told or "has no deployed releases" in told:
        return "correct its name and namespace: `helm list --all-namespaces` shows the releases"
    if refusal.reason == "Forbidden" or "is forbidden:" in told:
        return "see the namespace's quotas and admission rules, and the user's roles"
    if refusal.kind or refusal.field:
        return "correct the template, or the value it takes this from: `helm template` shows what it makes"
    return "does the cluster answer (`kubectl version`)? the same command says more with --debug"


def _not_kept(release: Release) -> tuple[ResourceRef, ...]:
    """Return the objects of a release that uninstalling takes away: all but those that the chart asks Helm to keep."""
    kept = {
        (body["kind"], body["metadata"]["name"])
        for body in release.manifest
        if str((body["metadata"].get("annotations") or {}).get(_POLICY, "")).strip().lower() == "keep"
    }
    return tuple(ref for ref in release.resources if (ref.kind, ref.name) not in kept)
