"""The tutorial's chapters, in their order: each begins where the one before ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from harness.assembly import Assembly
from harness.deploy.bodywork import BodyworkDeployer, Pipeline
from harness.deploy.bodywork_base import Workflow
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.release import Release
from harness.gateway.contour import Gateway
from harness.outside.git import Change, GitHost
from harness.outside.s3 import ObjectStore
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.traffic import TrafficProbe
from harness.scoring.verdict import ErrorBudget
from harness.site import Site
from harness.wait import wait_until
from scenarios.bodywork.conftest import (
    ANSWER,
    BUCKET,
    CORE,
    DATA,
    FLOWER,
    MODEL,
    NAMESPACE,
    REPOSITORY,
    SCHEDULE,
    SERVE,
    SWAPPED_ANSWER,
    TRAIN,
    assert_answer,
    assert_soon,
    with_names_swapped,
)

Traffic = Callable[..., AbstractContextManager[TrafficProbe]]


@pytest.fixture(scope="module")
def kubectl(site: Site) -> Iterator[KubectlDeployer]:
    """Looks at what Bodywork made."""
    with closing(site.kubectl()) as deployer:
        yield deployer


def test_a_namespace_is_set_up(pipelines: BodyworkDeployer, set_up: Release) -> None:
    """`bodywork setup-namespace ml-pipeline` says the tutorial's lines and makes what they say; again, nothing."""
    assert set_up.notes.splitlines() == [
        "creating namespace=ml-pipeline",
        "creating service-account=bodywork-workflow-controller in namespace=ml-pipeline",
        "creating cluster-role-binding=bodywork-workflow-controller--ml-pipeline",
        "creating service-account=bodywork-jobs-and-deployments in namespace=ml-pipeline",
    ]
    assert {str(ref) for ref in set_up.resources} >= {
        "namespace/ml-pipeline",
        "clusterrolebinding/bodywork-workflow-controller--ml-pipeline",
        *(
            f"{kind}/{account} in namespace 'ml-pipeline'"
            for account in ("bodywork-workflow-controller", "bodywork-jobs-and-deployments")
            for kind in ("serviceaccount", "role", "rolebinding")
        ),
    }
    assert pipelines.leftovers(NAMESPACE) != ()
    again = pipelines.setup_namespace(NAMESPACE)
    assert (again.resources, again.details["created"]) == ((), ())
    assert f"namespace={NAMESPACE}" in again.details["existing"]


def test_a_workflow_trains_and_serves(
    pipelines: BodyworkDeployer,
    pipeline: Pipeline,
    first_workflow: Workflow,
    bucket: ObjectStore,
    kubectl: KubectlDeployer,
    git: GitHost,
) -> None:
    """`bodywork workflow` stores a model and leaves two replicas, a Service and an Ingress, and says how."""
    trained, serving = first_workflow.stages
    assert trained.name == pipeline.service(TRAIN)
    assert "read 150 rows from http://bodywork-ml-pipeline-project.s3.eu-west-2.amazonaws.com" in trained.text
    assert serving.name == pipeline.service(SERVE)
    # Bodywork reads the log when max_startup_time_seconds are over, however far the pod is with its packages by then.
    assert f"attempting to run stage={SERVE}" in serving.text
    assert bucket.keys(BUCKET, "models/") == (MODEL,)
    assert Path(first_workflow.log).read_text().splitlines() == first_workflow.output.splitlines()

    name = "bodywork-ml-pipeline-project--stage-2-scoring-service"
    (deployment,) = kubectl.get(f"deployment/{name}", namespace=NAMESPACE)
    assert (deployment["spec"]["replicas"], deployment["status"]["readyReplicas"]) == (2, 2)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("bodyworkml/bodywork-core:latest", "Always")
    assert {"name": "GIT_COMMIT_HASH", "value": git.head(REPOSITORY)[:7]} in container["env"]
    wait_until(
        "see a pod load the model",
        lambda: kubectl.logs(f"deployment/{name}", namespace=NAMESPACE),
        done=lambda log: "loaded model=DecisionTreeClassifier" in log,
        timeout_s=120,
    )
    (service,) = kubectl.get(f"service/{name}", namespace=NAMESPACE)
    assert (service["spec"]["type"], service["spec"]["ports"][0]["port"]) == ("ClusterIP", 5000)
    (ingress,) = kubectl.get(f"ingress/{name}", namespace=NAMESPACE)
    assert ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"] == "nginx"
    assert {ref.name for ref in first_workflow.release.resources} == {name}
    (shown,) = pipelines.services(NAMESPACE)
    assert (shown.name, shown.available, shown.port, shown.ingress_route) == (name, 2, 5000, f"/{NAMESPACE}/{name}")


def test_the_service_answers_through_the_api_server(through_api_server: ScoreRequest, seatrial: Assembly) -> None:
    """At the path that `kubectl proxy` serves, the tutorial's answer comes back, character for character."""
    assert through_api_server.url.endswith(
        "/api/v1/namespaces/ml-pipeline/services"
        "/bodywork-ml-pipeline-project--stage-2-scoring-service/proxy/iris/v1/score"
    )
    assert_answer(seatrial.score(through_api_server.endpoint, FLOWER, path=through_api_server.path))


def test_the_service_answers_through_its_ingress(
    through_ingress: ScoreRequest, pipeline: Pipeline, site: Site, seatrial: Assembly
) -> None:
    """At the Ingress's path, the prefix stripped: the same answer. The gateway stands in for ingress-nginx."""
    site.wait_for_route(pipeline.ingress_path(SERVE))
    # Waits for an answer of any kind: the balancer's address is told to the network a moment after the Service has it.
    assert_answer(seatrial.score(through_ingress.endpoint, FLOWER, path=through_ingress.path))


def test_a_schedule_is_made(pipelines: BodyworkDeployer, pipeline: Pipeline, kubectl: KubectlDeployer) -> None:
    """`bodywork cronjob create` makes the CronJob that `display` shows, and whose history is empty."""
    made = pipelines.schedule(pipeline, SCHEDULE, schedule="* 0 * * *")
    assert (made.name, made.schedule, made.retries) == (SCHEDULE, "* 0 * * *", 2)
    assert (made.git_url, made.git_branch, made.last_executed) == (pipeline.url, "master", "")
    # It is due each minute from midnight to one: whoever runs the tests then gets runs that nobody asked for.
    kubectl.run("patch", f"cronjob/{SCHEDULE}", f"--namespace={NAMESPACE}", '--patch={"spec":{"suspend":true}}').check()
    assert pipelines.history(SCHEDULE, namespace=NAMESPACE) == ()


@pytest.mark.usefixtures("begun_failures")
def test_a_triggered_run_retrains_and_rolls_the_service(
    pipelines: BodyworkDeployer,
    pipeline: Pipeline,
    bucket: ObjectStore,
    iris_csv: str,
    git: GitHost,
    through_api_server: ScoreRequest,
    through_ingress: ScoreRequest,
    traffic: Traffic,
    seatrial: Assembly,
) -> None:
    """New data and a push: the run learns the one and deploys the other; no request fails on the Ingress's way."""
    bucket.put(BUCKET, DATA, with_names_swapped(iris_csv).encode())
    git.push(REPOSITORY, Change({"NOTES.md": "Names swapped.\n"}, "Say what changed"))

    def either(response: ScoreResponse) -> None:
        assert response.assert_status(200).text in {ANSWER, SWAPPED_ANSWER}

    def which(response: ScoreResponse) -> str:
        return "new" if response.text == SWAPPED_ANSWER else "old"

    with (
        traffic(through_ingress, check=either, variant=which, rate_per_s=10, name="ingress") as ingress,
        traffic(through_api_server, check=either, variant=which, rate_per_s=5, name="api server") as direct,
    ):
        job = pipelines.trigger(SCHEDULE, namespace=NAMESPACE)
        workflow = pipelines.wait_for_workflow(pipeline, job)

    assert_soon(seatrial, through_ingress, SWAPPED_ANSWER)
    (run,) = pipelines.history(SCHEDULE, namespace=NAMESPACE)
    assert (run.job, run.succeeded, run.failed) == (job, 1, 0)
    assert [stage.name for stage in workflow.stages] == [pipeline.service(TRAIN), pipeline.service(SERVE)]
    assert "read 150 rows" in pipelines.logs(job, namespace=NAMESPACE)
    ingress.verdict.assert_within(ErrorBudget(min_requests=500))
    assert set(ingress.verdict.variants) == {"old", "new"}
    # Bodywork gives its pods no probes, so a new one is sent requests while it still installs packages. Who asks the
    # Service itself is refused by it: at most one pod of three at a time, and nothing else goes wrong.
    refused = [sample.failure for sample in direct.verdict.samples if sample.failure]
    assert set(refused) <= {"status 503"}
    assert len(refused) < len(direct.verdict.samples) / 3
    for failure in (direct.verdict.first_failure, direct.verdict.last_failure):
        assert failure is None or "connection refused" in failure.seen


def test_what_stands_in_is_reported(gateway: Gateway, bodywork_image: str, seatrial: Assembly) -> None:
    """The run's report names each stand-in and what it stands for."""
    del bodywork_image  # with it the world is there
    notes = [note for note in seatrial.recorder.evidence().notes if note.startswith("stand-in at ")]
    served = ("github.com", "s3.eu-west-2.amazonaws.com", "hub.docker.com", "packages.seatrial.internal")
    for name in (*served, "docker.io", CORE):
        assert any(name in note for note in notes), name
    assert gateway.stand_in_for == "Ambassador and ingress-nginx"
    assert str(gateway) in seatrial.recorder.evidence().versions.values()
