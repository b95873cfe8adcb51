"""Running Bodywork 3's pipelines: projects in git whose stages train and serve in a namespace that Bodywork makes.

Written for Bodywork 3.0 (bodywork.yaml version "1.1"), checked with 3.0.12. What is deployed is scored like any other
Service: :func:`harness.access.api_proxy.api_proxy` takes :meth:`Project.service`, a gateway
:meth:`Project.ingress_path`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.commands import bodywork3
from harness.commands.bodywork import Problem
from harness.commands.bodywork3 import ListedService, ShownService
from harness.deploy.bodywork_base import (
    CONTROLLER,
    METHOD,
    RBAC,
    WORKFLOW_TIMEOUT_S,
    AnyBodyworkDeployer,
    Workflow,
)
from harness.deploy.release import Release, ResourceRef
from harness.deploy.watching import reading
from harness.errors import BodyworkError
from harness.wait import Deadline

# Where 3.x keeps what runs workflows in the cluster (constants.py of 3.0.12).
CONTROL_NAMESPACE = "bodywork-deployment-jobs"
# A pod of Bodywork's has 30 s to end and uses them up, and a namespace that finds pods looks again after 16 s.
_DELETION_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class Project:
    """A project in git, and what its bodywork.yaml says of where it runs.

    Args:
        url: address of its repository, e.g. ``https://github.com/bodywork-ml/bodywork-ml-pipeline-project``.
        name: ``pipeline.name`` of its bodywork.yaml.
        branch: the branch to run; the repository's default one when empty.
        own_namespace: ``pipeline.namespace`` of its bodywork.yaml; empty when it says nothing of it.
    """

    url: str
    name: str
    branch: str = ""
    own_namespace: str = ""

    @property
    def namespace(self) -> str:
        """The namespace that it runs in: Bodywork's choice is the pipeline's name."""
        return self.own_namespace or self.name

    def service(self, stage: str) -> str:
        """Return the name of a service stage's Deployment, Service and Ingress.

        >>> Project("https://github.com/o/iris", "iris").service("stage_2_serve")
        'stage-2-serve'
        """
        return _valid_name(stage)

    def ingress_path(self, stage: str) -> str:
        """Return the path under which an ingress controller serves a stage that asks for it."""
        return f"/{self.namespace}/{self.service(stage)}"


def _valid_name(text: str) -> str:
    """Return `text` as Bodywork 3.0.12 makes it a Kubernetes name (k8s/utils.py, ``make_valid_k8s_name``)."""
    return re.sub(r"[^a-zA-Z0-9.]+", "-", text.strip())


class Bodywork3Deployer(AnyBodyworkDeployer):
    """Deploys pipelines with Bodywork 3; closing it removes what it made.

    Args:
        handle: the cluster. Pipelines need networking.k8s.io/v1, which Kubernetes serves from 1.19 on.
        runner: runs kubectl.
        settings: limits.
        program: runs Bodywork.
        witness: told what is deployed, and what Bodywork writes.
    """

    def configure_cluster(self) -> Release:
        """Make namespace bodywork-deployment-jobs and an account in it that may run workflows.

        Returns:
            What the command made, by what was there before and after; its notes are Bodywork's words.

        Raises:
            BodyworkError: Bodywork could not.
        """
        missing = self._to_be_configured()
        outcome, _ = self._bodywork("configure the cluster for Bodywork", bodywork3.configure_cluster())
        said = bodywork3.parse_configure_cluster(outcome.stdout)
        release = Release(
            CONTROL_NAMESPACE,
            CONTROL_NAMESPACE,
            METHOD,
            tuple(ref for ref in missing if self._exists(ref)),
            notes=outcome.stdout,
            details={"created": said.created, "existing": said.existing},
        )
        self._witness.deployed(release)
        return release

    def deploy(self, project: Project, *, timeout_s: float = WORKFLOW_TIMEOUT_S) -> Workflow:
        """Run a pipeline's stages once, as ``bodywork create deployment`` does.

        Bodywork makes the namespace, and configures the cluster when nobody has. What a deployment that failed leaves
        of its services stays to be looked at, until the namespace goes.

        Args:
            project: what to run.
            timeout_s: limit in seconds; Bodywork is stopped then, and what it has begun goes on.

        Raises:
            BodyworkProjectError: what the repository holds cannot be run.
            BodyworkStageError: a stage failed or did not end in time; the message has the stage's own reason.
            BodyworkError: the cluster, Docker Hub or Bodywork itself is in the way.
            CommandTimeoutError: the limit passed.
            RolloutError: Bodywork was content and a service did not roll out.
        """
        return self._run_stages(project, bodywork3.create_deployment(project.url, project.branch), timeout_s)

    def update(self, project: Project, *, timeout_s: float = WORKFLOW_TIMEOUT_S) -> Workflow:
        """Run the stages again, as ``bodywork update deployment`` does; see :meth:`deploy`."""
        return self._run_stages(project, bodywork3.update_deployment(project.url, project.branch), timeout_s)

    def deployed(self, project: Project) -> Release:
        """Return what a pipeline has deployed: a Deployment, Service and Ingress per service stage."""
        found: list[ResourceRef] = []
        with reading(self._api) as reader:
            # Services and Ingresses are called as their Deployments are, and these alone name their pipeline.
            own: set[str] = set()
            for kind, version in (("Deployment", "apps/v1"), ("Service", "v1"), ("Ingress", "networking.k8s.io/v1")):
                items = reader.get(reader.collection(ResourceRef(kind, "", project.namespace, version)))["items"]
                if kind == "Deployment":
                    own = {
                        item["metadata"]["name"]
                        for item in items
                        if (item["metadata"].get("labels") or {}).get("deployment-name") == project.name
                    }
                names = [item["metadata"]["name"] for item in items]
                found += [ResourceRef(kind, name, project.namespace, version) for name in names if name in own]
        return Release(project.name, project.namespace, METHOD, tuple(found))

    def services(self, *, namespace: str = "") -> tuple[ListedService, ...]:
        """Return what ``bodywork get deployments`` lists: the services of all pipelines.

        Args:
            namespace: where to look, everywhere when empty. Where 2.x has deployed something, 3.0.12 fails.

        Raises:
            BodyworkError: Bodywork could not.
        """
        attempted = f"see the deployments of namespace '{namespace}'" if namespace else "see all deployments"
        outcome, _ = self._bodywork(attempted, bodywork3.get_deployments(namespace=namespace))
        return bodywork3.parse_deployments(outcome.stdout)

    def service(self, project: Project, stage: str) -> ShownService:
        """Return what ``bodywork get deployment`` shows of a service stage.

        Raises:
            BodyworkError: there is no such service, or Bodywork could not.
        """
        name = project.service(stage)
        attempted = f"see service '{name}' of deployment '{project.name}'"
        outcome, _ = self._bodywork(attempted, bodywork3.get_deployment(project.name, name))
        try:
            return bodywork3.parse_deployment(outcome.stdout)
        except ValueError as error:  # a deployment that is not there at all is no error to Bodywork
            said = outcome.stdout.strip()
            hint = "`bodywork get deployments` shows what there is"
            raise BodyworkError(attempted, reason="not found", output=outcome.stdout, seen=said, hint=hint) from error

    def undeploy(self, project: Project) -> None:
        """Have Bodywork delete a pipeline's namespace, as ``bodywork delete deployment`` does; return when it is gone.

        That takes longer than the 30 s that its pods have to end; closing the deployer is faster.

        Raises:
            BodyworkError: there is no such deployment, or Bodywork could not.
            WaitTimeoutError: Bodywork was content and the namespace is still there.
        """
        attempted = f"delete deployment '{project.name}'"
        self._bodywork(attempted, bodywork3.delete_deployment(project.name), timeout_s=_DELETION_TIMEOUT_S)
        gone = Release(project.name, project.namespace, METHOD, (ResourceRef("Namespace", project.namespace),))
        self._wait_until_gone(gone, Deadline(self._settings.rollout_timeout_s))
        self._live.forget(project.namespace, project.namespace)

    # -- shared

    def _problem(self, output: str, exit_code: int) -> Problem | None:
        return bodywork3.parse_problem(output, exit_code=exit_code)

    def _run_stages(self, project: Project, args: tuple[str, ...], timeout_s: float) -> Workflow:
        self._to_be_configured()
        self._to_be_made(project.namespace, (ResourceRef("Namespace", project.namespace),))
        of_branch = f"branch '{project.branch}'" if project.branch else "its default branch"
        attempted = f"deploy {project.url}, {of_branch}, into '{project.namespace}'"
        try:
            outcome, log = self._bodywork(attempted, args, timeout_s=timeout_s)
        except BodyworkError:
            self._witness.deployed(self.deployed(project))  # its pods are what evidence is wanted of
            raise
        release = self.deployed(project)
        self._witness.deployed(release)
        self.wait(release)
        stages = bodywork3.parse_stage_logs(outcome.stdout)
        return Workflow(release, stages, outcome.duration_s, outcome.stdout, log)

    def _to_be_configured(self) -> tuple[ResourceRef, ...]:
        """Enter what configuring the cluster will make; return it (k8s/auth.py, cli/setup_namespace.py of 3.0.12)."""
        binding = f"{CONTROLLER}--{CONTROL_NAMESPACE}"
        return self._to_be_made(
            CONTROL_NAMESPACE,
            (
                ResourceRef("Namespace", CONTROL_NAMESPACE),
                ResourceRef("ServiceAccount", CONTROLLER, CONTROL_NAMESPACE),
                ResourceRef("ClusterRole", CONTROLLER, api_version=RBAC),
                ResourceRef("ClusterRoleBinding", binding, api_version=RBAC),
            ),
        )

    def _to_be_made(self, namespace: str, refs: tuple[ResourceRef, ...]) -> tuple[ResourceRef, ...]:
        """Enter those of `refs` that are not there, to be deleted when the deployer is closed; return them."""
        missing = tuple(ref for ref in refs if not self._exists(ref))
        if missing:
            self._live.enter(namespace, namespace, lambda: self.delete(Release(namespace, namespace, METHOD, missing)))
        return missing
