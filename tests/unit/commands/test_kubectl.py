"""kubectl's arguments and output."""

from __future__ import annotations

import pytest

from harness.commands import kubectl
from harness.commands.kubectl import Applied, Context

NAME = "test-ml-score-api"


@pytest.mark.parametrize(
    ("args", "typed"),
    [
        pytest.param(
            kubectl.create_deployment(NAME, "example/test-ml-score-api:latest"),
            "create deployment test-ml-score-api --image=example/test-ml-score-api:latest --replicas=1 --output=json",
            id="create deployment",
        ),
        pytest.param(
            kubectl.create_deployment(NAME, "i", namespace="n", replicas=3, port=5000, dry_run="client"),
            "create deployment test-ml-score-api --image=i --replicas=3 --port=5000 --dry-run=client --namespace n "
            "--output=json",
            id="create deployment with everything",
        ),
        pytest.param(
            kubectl.expose_deployment(NAME, port=5000, name=f"{NAME}-lb", service_type="LoadBalancer", namespace="n"),
            "expose deployment test-ml-score-api --port=5000 --type=LoadBalancer --name=test-ml-score-api-lb "
            "--namespace n --output=json",
            id="expose",
        ),
        pytest.param(
            kubectl.expose_deployment(NAME, port=80, target_port=5000),
            "expose deployment test-ml-score-api --port=80 --target-port=5000 --type=ClusterIP --output=json",
            id="expose on another port",
        ),
        pytest.param(
            kubectl.rollout_status("deployment", NAME, timeout_s=90.0, namespace="n"),
            "rollout status deployment/test-ml-score-api --timeout=90s --namespace n",
            id="rollout status",
        ),
        pytest.param(kubectl.get("pods"), "get pods --output=json --ignore-not-found", id="get"),
        pytest.param(
            kubectl.get("pods", namespace="n", all_namespaces=True, selector="app=x", output="name"),
            "get pods --all-namespaces --selector=app=x --output=name --ignore-not-found",
            id="get everywhere: the namespace is left out",
        ),
        pytest.param(
            kubectl.delete(f"deployment/{NAME}", namespace="n", timeout_s=60),
            "delete deployment/test-ml-score-api --namespace n --ignore-not-found --cascade=foreground --wait=true "
            "--timeout=60s",
            id="delete",
        ),
        pytest.param(kubectl.apply(namespace="n"), "apply --filename=- --namespace n", id="apply"),
        pytest.param(
            kubectl.apply(server_side=True, dry_run="server"),
            "apply --filename=- --server-side --force-conflicts --dry-run=server",
            id="apply on the server",
        ),
        pytest.param(
            kubectl.logs("pod-1", namespace="n", container="c", previous=True, tail=20),
            "logs pod-1 --container=c --previous --tail=20 --namespace n",
            id="logs",
        ),
        pytest.param(kubectl.describe("pods", namespace="n"), "describe pods --namespace n", id="describe"),
        pytest.param(kubectl.cluster_info(), "cluster-info", id="cluster-info"),
        pytest.param(kubectl.config_get_contexts(), "config get-contexts", id="get-contexts"),
        pytest.param(kubectl.config_use_context("kind-a"), "config use-context kind-a", id="use-context"),
        pytest.param(
            kubectl.config_set_context("kind-a", namespace="test-ml-app"),
            "config set-context kind-a --namespace=test-ml-app",
            id="set-context",
        ),
    ],
)
def test_arguments_are_those_a_person_would_type(args: tuple[str, ...], typed: str) -> None:
    """Each builder gives exactly these arguments in this order."""
    assert " ".join(args) == typed


def test_contexts_are_cut_where_the_header_says() -> None:
    """Empty cells do not move the ones after them."""
    table = (
        "CURRENT   NAME     CLUSTER   AUTHINFO   NAMESPACE\n"
        "*         kind-a   kind-a    kind-a     test-ml-app\n"
        "          kind-b   kind-b               \n"
    )
    assert kubectl.parse_contexts(table) == (
        Context("kind-a", "kind-a", "kind-a", "test-ml-app", is_current=True),
        Context("kind-b", "kind-b", "", ""),
    )
    assert kubectl.parse_contexts("") == ()


def test_what_apply_did_is_read_line_by_line() -> None:
    """Kinds with and without group, each of the four words; anything else is passed over."""
    stdout = (
        "namespace/test-ml-app created\n"
        "deployment.apps/test-ml-score-api configured\n"
        "service/test-ml-score-lb unchanged\n"
        "Warning: something\n"
        "trial.stable.seatrial.dev/first serverside-applied\n"
    )
    assert kubectl.parse_applied(stdout) == (
        Applied("namespace", "", "test-ml-app", "created"),
        Applied("deployment", "apps", "test-ml-score-api", "configured"),
        Applied("service", "", "test-ml-score-lb", "unchanged"),
        Applied("trial", "stable.seatrial.dev", "first", "serverside-applied"),
    )


@pytest.mark.parametrize(
    ("stderr", "kind", "name", "field", "reason"),
    [
        pytest.param(
            'The Deployment "bad-selector" is invalid: spec.template.metadata.labels: Invalid value: {"app":"x"}: no',
            "Deployment",
            "bad-selector",
            "spec.template.metadata.labels",
            "Invalid",
            id="invalid",
        ),
        pytest.param(
            'The Service "refused" is invalid: spec.ports[0].port: Invalid value: 700000: must be between 1 and 65535',
            "Service",
            "refused",
            "spec.ports[0].port",
            "Invalid",
            id="invalid in a list",
        ),
        pytest.param(
            'error: error validating "STDIN": error validating data: ValidationError(Deployment.spec): unknown field '
            '"replicass" in io.k8s.api.apps.v1.DeploymentSpec; if you choose to ignore these errors',
            "Deployment",
            "",
            "spec.replicass",
            "Invalid",
            id="unknown field, found by kubectl",
        ),
        pytest.param(
            'Error from server (BadRequest): error when creating "STDIN": Deployment in version "v1" cannot be handled '
            'as a Deployment: strict decoding error: unknown field "spec.replicass"',
            "Deployment",
            "",
            "spec.replicass",
            "BadRequest",
            id="unknown field, found by the server",
        ),
        pytest.param(
            'Error from server (NotFound): error when creating "STDIN": namespaces "absent" not found',
            "namespaces",
            "absent",
            "",
            "NotFound",
            id="no such namespace",
        ),
        pytest.param(
            'Error from server (Forbidden): error when creating "STDIN": pods "p" is forbidden: exceeded quota: q',
            "pods",
            "p",
            "",
            "Forbidden",
            id="forbidden",
        ),
        pytest.param(
            'error: resource mapping not found for name: "thing" namespace: "" from "STDIN": no matches for kind '
            '"Nothing" in version "no.such/v1"\nensure CRDs are installed first',
            "Nothing",
            "thing",
            "",
            "NoMatch",
            id="no such kind",
        ),
        pytest.param(
            'error: failed to create deployment: deployments.apps "a" already exists',
            "deployments.apps",
            "a",
            "",
            "AlreadyExists",
            id="exists already",
        ),
        pytest.param(
            'error: failed to create deployment: Deployment.apps "a" is invalid: '
            "spec.template.spec.containers[0].image: Required value",
            "Deployment",
            "a",
            "spec.template.spec.containers[0].image",
            "Invalid",
            id="created with something missing",
        ),
        pytest.param("Unable to connect to the server: EOF", "", "", "", "", id="not a refusal of an object"),
    ],
)
def test_refusals_tell_kind_name_field_and_reason(stderr: str, kind: str, name: str, field: str, reason: str) -> None:
    """As far as kubectl's message tells them, and the message itself in any case."""
    (refusal,) = kubectl.parse_refusals(stderr)
    assert (refusal.kind, refusal.name, refusal.field, refusal.reason) == (kind, name, field, reason)
    assert refusal.message == stderr


def test_several_refusals_are_told_apart_and_warnings_left_out() -> None:
    """One command may be refused for several objects."""
    stderr = (
        "Warning: be careful\n"
        'The Service "a" is invalid: spec.ports: Required value\n'
        'Error from server (NotFound): error when creating "STDIN": namespaces "n" not found\n'
    )
    assert [refusal.name for refusal in kubectl.parse_refusals(stderr)] == ["a", "n"]


def test_what_bodywork_needs_besides() -> None:
    """A schedule's Job run now; a namespace and its pods told to go, without waiting."""
    assert " ".join(kubectl.create_job_from_cronjob("a-1", "a", namespace="n")) == (
        "create job a-1 --from=cronjob/a --namespace n"
    )
    assert " ".join(kubectl.delete_controllers(namespace="n")) == (
        "delete deployments,replicasets,jobs,cronjobs --all --namespace n --cascade=orphan --wait=false"
    )
    assert " ".join(kubectl.delete_namespace("n")) == "delete namespace n --ignore-not-found --wait=false"
    assert " ".join(kubectl.delete_pods(namespace="n", grace_s=1, timeout_s=15.0)) == (
        "delete pods --all --namespace n --grace-period=1 --timeout=15s"
    )
    assert " ".join(kubectl.forget_pods(namespace="n")) == (
        "delete pods --all --namespace n --grace-period=0 --force --wait=false"
    )
