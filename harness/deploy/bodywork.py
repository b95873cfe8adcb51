"""Running Bodywork's pipelines: projects in git whose stages train and serve in a cluster.

Written for Bodywork 2.0 and 2.1 (bodywork.yaml version "1.0"), checked with 2.1.3. What is deployed is scored like any
other Service: :func:`harness.access.api_proxy.api_proxy` takes :meth:`Pipeline.service`, a gateway
:meth:`Pipeline.ingress_path`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from harness.commands import bodywork, kubectl
from harness.commands.bodywork import CronJob, DeployedService, Problem, WorkflowRun
from harness.deploy.bodywork_base import (
    COMMAND_TIMEOUT_S,
    CONTROLLER,
    METHOD,
    RBAC,
    WORKFLOW_TIMEOUT_S,
    AnyBodyworkDeployer,
    Workflow,
    error_of,
    output_of,
)
from harness.deploy.release import Release, ResourceRef
from harness.deploy.rollout import wait_for_rollout
from harness.deploy.watching import reading
from harness.errors import BodyworkError, RolloutError
from harness.process.outcome import Outcome

_STAGES = "bodywork-jobs-and-deployments"


@dataclass(frozen=True)
class Pipeline:
    """A project in git, and where it runs.

    Args:
        url: address of its repository, e.g. ``https://github.com/bodywork-ml/bodywork-ml-pipeline-project``.
        project: its name in bodywork.yaml.
        namespace: a namespace that was set up for Bodywork.
        branch: the branch to run.
    """

    url: str
    project: str
    namespace: str
    branch: str = "master"

    def service(self, stage: str) -> str:
        """Return the name of a service stage's Deployment, Service and Ingress.

        >>> Pipeline("https://github.com/o/iris", "iris", "ml").service("stage_2_serve")
        'iris--stage-2-serve'
        """
        return _valid_name(f"{self.project}--{stage}")

    def ingress_path(self, stage: str) -> str:
        """Return the path under which an ingress controller serves a stage that asks for it."""
        return f"/{self.namespace}/{self.service(stage)}"


def _valid_name(text: str) -> str:
    """Return `text` as Bodywork 2.1.3 makes it a Kubernetes name (k8s/utils.py, ``make_valid_k8s_name``)."""
    return re.sub(r"[_\s]", "-", text.strip())


class BodyworkDeployer(AnyBodyworkDeployer):
    """Sets namespaces up for Bodywork and runs pipelines in them; closing it removes what it made.

    Args:
        handle: the cluster; Bodywork 2.1 needs Kubernetes 1.21 or older.
        runner: runs kubectl.
        settings: limits.
        program: runs Bodywork.
        witness: told what is deployed, and what Bodywork writes.
    """

    # -- namespaces

    def setup_namespace(self, namespace: str) -> Release:
        """Make a namespace, if it is not there, and give it the accounts that pipelines run under.

        Returns:
            What the command made, by what was there before and after; its notes are Bodywork's words.

        Raises:
            BodyworkError: Bodywork could not.
        """
        before = {ref for ref in _setup_objects(namespace) if self._exists(ref)}
        missing = tuple(ref for ref in _setup_objects(namespace) if ref not in before)
        release = Release(namespace, namespace, METHOD, missing)
        if missing:
            self._live.enter(namespace, namespace, lambda: self.delete(release))
        attempted = f"set up namespace '{namespace}' for Bodywork"
        outcome, _ = self._bodywork(attempted, bodywork.setup_namespace(namespace))
        said = bodywork.parse_setup_namespace(outcome.stdout)
        release = Release(
            namespace,
            namespace,
            METHOD,
            tuple(ref for ref in missing if self._exists(ref)),
            notes=outcome.stdout,
            details={"created": said.created, "existing": said.existing},
        )
        self._witness.deployed(release)
        return release

    # -- workflows

    def run(self, pipeline: Pipeline, *, timeout_s: float = WORKFLOW_TIMEOUT_S) -> Workflow:
        """Run a pipeline's stages once, as ``bodywork workflow`` does, and return when its services have rolled out.

        Bodywork 2.1.3 takes a rollout for complete when as many pods as there should be are available, old or new: of
        two replicas it may have replaced one. So what it says is waited for besides.

        What a failed workflow leaves of its services stays to be looked at, until the namespace goes.

        Args:
            pipeline: what to run.
            timeout_s: limit in seconds; Bodywork is stopped then, and what it has begun goes on.

        Raises:
            BodyworkProjectError: what the repository holds cannot be run.
            BodyworkStageError: a stage failed or did not end in time; the message has the stage's own reason.
            BodyworkError: the cluster, Docker Hub or Bodywork itself is in the way.
            CommandTimeoutError: the limit passed.
            RolloutError: Bodywork was content and a service did not roll out.
        """
        attempted = f"run the workflow of {pipeline.url}, branch '{pipeline.branch}', in '{pipeline.namespace}'"
        args = bodywork.workflow(pipeline.url, pipeline.branch, namespace=pipeline.namespace)
        try:
            outcome, log = self._bodywork(attempted, args, timeout_s=timeout_s)
        except BodyworkError:
            self._witness.deployed(self.deployed(pipeline))  # its pods are what evidence is wanted of
            raise
        return self._workflow(pipeline, outcome, log, outcome.duration_s)

    def deployed(self, pipeline: Pipeline) -> Release:
        """Return what workflows of the pipeline have deployed: a Deployment, Service and Ingress per service stage."""
        prefix = _valid_name(f"{pipeline.project}--")
        found: list[ResourceRef] = []
        with reading(self._api) as reader:
            for kind, version in (("Deployment", "apps/v1"), ("Service", "v1"), ("Ingress", "networking.k8s.io/v1")):
                probe = ResourceRef(kind, "", pipeline.namespace, version)
                items = reader.get(reader.collection(probe))["items"]
                names = [item["metadata"]["name"] for item in items]
                found += [
                    ResourceRef(kind, name, pipeline.namespace, version) for name in names if name.startswith(prefix)
                ]
        return Release(pipeline.project, pipeline.namespace, METHOD, tuple(found))

    def services(self, namespace: str) -> tuple[DeployedService, ...]:
        """Return what ``bodywork service display`` shows.

        Raises:
            BodyworkError: Bodywork could not.
        """
        attempted = f"see the services of namespace '{namespace}'"
        outcome, _ = self._bodywork(attempted, bodywork.service_display(namespace=namespace))
        return bodywork.parse_services(outcome.stdout)

    # -- schedules

    def schedule(
        self, pipeline: Pipeline, name: str, *, schedule: str, retries: int = 2, history_limit: int = 1
    ) -> CronJob:
        """Have a pipeline run on a schedule, in the cluster; return it as ``bodywork cronjob display`` shows it.

        Args:
            pipeline: what to run; its pods are of ``bodyworkml/bodywork-core:latest``, whatever bodywork.yaml says.
            name: the CronJob's name.
            schedule: five fields of cron; ``* 0 * * *`` is each minute from midnight to one.
            retries: how often a workflow that failed is run again.
            history_limit: how many ended workflows are kept.

        Raises:
            BodyworkError: Bodywork, or the cluster, does not take it.
        """
        args = bodywork.cronjob_create(
            name,
            namespace=pipeline.namespace,
            schedule=schedule,
            url=pipeline.url,
            branch=pipeline.branch,
            retries=retries,
            history_limit=history_limit,
        )
        attempted = f"schedule '{name}' at '{schedule}' in namespace '{pipeline.namespace}'"
        self._bodywork(attempted, args)
        found = [one for one in self.schedules(pipeline.namespace) if one.name == _valid_name(name)]
        if not found:
            raise BodyworkError(
                attempted,
                reason="unknown",
                seen="Bodywork says nothing amiss, and shows no such one",
                hint=f"`kubectl get cronjobs -n {pipeline.namespace}` shows what is there",
            )
        return found[0]

    def schedules(self, namespace: str) -> tuple[CronJob, ...]:
        """Return what ``bodywork cronjob display`` shows.

        Raises:
            BodyworkError: Bodywork could not.
        """
        attempted = f"see the schedules of namespace '{namespace}'"
        outcome, _ = self._bodywork(attempted, bodywork.cronjob_display(namespace=namespace))
        return bodywork.parse_cronjobs(outcome.stdout)

    def unschedule(self, name: str, *, namespace: str) -> None:
        """Delete a schedule, and the workflows that it has started.

        Raises:
            BodyworkError: Bodywork could not.
        """
        attempted = f"delete schedule '{name}' of namespace '{namespace}'"
        self._bodywork(attempted, bodywork.cronjob_delete(name, namespace=namespace))

    def history(self, name: str, *, namespace: str) -> tuple[WorkflowRun, ...]:
        """Return the workflows of a schedule that are not removed yet: ended ones go after 15 minutes.

        Raises:
            BodyworkError: Bodywork could not.
        """
        attempted = f"see the history of schedule '{name}' in namespace '{namespace}'"
        outcome, _ = self._bodywork(attempted, bodywork.cronjob_history(name, namespace=namespace))
        return bodywork.parse_history(outcome.stdout)

    def logs(self, job: str, *, namespace: str) -> str:
        """Return what one workflow of a schedule wrote, its stages' output included.

        Args:
            job: a name from the history.
            namespace: where it ran.

        Raises:
            BodyworkError: there is no such workflow.
        """
        return self._log_of(job, namespace)[0].stdout

    def trigger(self, name: str, *, namespace: str) -> str:
        """Run a schedule's workflow now, as ``kubectl create job --from`` does; return the Job's name.

        Raises:
            CommandError: there is no such schedule.
        """
        job = f"{name}-{secrets.token_hex(3)}"  # the history knows a schedule's Jobs by how their names begin
        args = kubectl.create_job_from_cronjob(job, name, namespace=namespace)
        self._kubectl(*args)
        return job

    def wait_for_workflow(self, pipeline: Pipeline, job: str, *, timeout_s: float = WORKFLOW_TIMEOUT_S) -> Workflow:
        """Return when a workflow that runs in the cluster has ended well and its services have rolled out.

        Args:
            pipeline: what it runs.
            job: the Job's name.
            timeout_s: limit in seconds.

        Raises:
            BodyworkError: it failed, for the reason that its log gives.
            RolloutError: it failed or did not end in time, and its log gives no reason.
        """
        namespace = pipeline.namespace
        ref = ResourceRef("Job", job, namespace, "batch/v1")
        attempted = f"run workflow '{job}' in namespace '{namespace}'"
        try:
            with self._witness.waiting(attempted):
                done = wait_for_rollout(self._api, ref, timeout_s)
        except RolloutError as error:
            self._witness.deployed(self.deployed(pipeline))
            # Exit code 1: what ended well has no problem, and this did not.
            output = str(error.facts.get("log", "")) or output_of(self._ask_for_log(job, namespace)[0])
            problem = bodywork.parse_problem(output, exit_code=1)
            if problem is None or problem.reason == "unknown":
                raise
            raise error_of(attempted, problem, output, "") from error
        return self._workflow(pipeline, *self._log_of(job, namespace), done.duration_s)

    # -- shared

    def _problem(self, output: str, exit_code: int) -> Problem | None:
        return bodywork.parse_problem(output, exit_code=exit_code)

    def _workflow(self, pipeline: Pipeline, said: Outcome, log: str, duration_s: float) -> Workflow:
        release = self.deployed(pipeline)
        self._witness.deployed(release)
        self.wait(release)
        return Workflow(release, bodywork.parse_stage_logs(said.stdout), duration_s, said.stdout, log)

    def _log_of(self, job: str, namespace: str) -> tuple[Outcome, str]:
        """Return what a workflow wrote, and the evidence's file that holds it; see :meth:`logs`."""
        attempted = f"read the log of workflow '{job}' in namespace '{namespace}'"
        outcome, log = self._ask_for_log(job, namespace)
        if missing := bodywork.parse_missing_log(outcome.stdout):
            hint = "take a name from the history; workflows go 15 minutes after they end"
            raise BodyworkError(attempted, reason="not found", seen=missing, hint=hint)
        if outcome.exit_code != 0:
            self._hold_to_account(attempted, outcome, log)
        return outcome, log

    def _ask_for_log(self, job: str, namespace: str) -> tuple[Outcome, str]:
        args = bodywork.cronjob_logs(job, namespace=namespace)
        # What the workflow says of itself is no problem of this command's: that one's is a sentence of its own.
        return self._run(f"read the log of workflow '{job}' in namespace '{namespace}'", args, COMMAND_TIMEOUT_S)


def _setup_objects(namespace: str) -> Sequence[ResourceRef]:
    """Return all that ``setup-namespace`` sees to (k8s/auth.py and cli/setup_namespace.py of 2.1.3), in its order."""
    accounts: list[ResourceRef] = [ResourceRef("Namespace", namespace)]
    for name in (CONTROLLER, _STAGES):
        accounts.append(ResourceRef("ServiceAccount", name, namespace))
        accounts += [ResourceRef(kind, name, namespace, RBAC) for kind in ("Role", "RoleBinding")]
        if name == CONTROLLER:
            accounts.append(ResourceRef("ClusterRole", name, api_version=RBAC))
            accounts.append(ResourceRef("ClusterRoleBinding", f"{name}--{namespace}", api_version=RBAC))
    return accounts
