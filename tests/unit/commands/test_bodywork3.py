"""Bodywork 3's command line: arguments, and what its output means. The words are those of Bodywork 3.0.12."""

from __future__ import annotations

import textwrap

import pytest

from harness.commands import bodywork3
from harness.commands.bodywork import NamespaceSetup, Reason, StageLog
from harness.commands.bodywork3 import ListedService, ShownService

URL = "https://github.com/bodywork-ml/bodywork-ml-pipeline-project"
WIDTH = 175


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (bodywork3.configure_cluster(), "configure-cluster"),
        (bodywork3.create_deployment(URL, "master"), f"create deployment {URL} --branch=master"),
        (bodywork3.create_deployment(URL), f"create deployment {URL}"),
        (bodywork3.update_deployment(URL, "master"), f"update deployment {URL} --branch=master"),
        (bodywork3.get_deployments(), "get deployments"),
        (bodywork3.get_deployments(namespace="n"), "get deployments --namespace=n"),
        (bodywork3.get_deployment("iris", "serve"), "get deployment iris serve"),
        (bodywork3.delete_deployment("iris"), "delete deployment iris"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_arguments(args: tuple[str, ...], expected: str) -> None:
    """They are those of the documentation; no branch is the repository's default one."""
    assert " ".join(args) == expected


def test_what_configuring_made() -> None:
    """Each is a sentence with a full stop, which is no part of a name."""
    stdout = """\
Creating namespace=bodywork-deployment-jobs.
Creating service-account=bodywork-workflow-controller in namespace=bodywork-deployment-jobs.
Creating cluster-role-binding=bodywork-workflow-controller--bodywork-deployment-jobs.
"""
    assert bodywork3.parse_configure_cluster(stdout) == NamespaceSetup(
        created=(
            "namespace=bodywork-deployment-jobs",
            "service-account=bodywork-workflow-controller",
            "cluster-role-binding=bodywork-workflow-controller--bodywork-deployment-jobs",
        ),
        existing=(),
    )


def test_what_configuring_found() -> None:
    """Nothing is made the second time."""
    stdout = """\
namespace=bodywork-deployment-jobs already exists.
service-account=bodywork-workflow-controller already exists in namespace=bodywork-deployment-jobs.
"""
    assert bodywork3.parse_configure_cluster(stdout) == NamespaceSetup(
        created=(), existing=("namespace=bodywork-deployment-jobs", "service-account=bodywork-workflow-controller")
    )


LISTED = """\
                                    operational services                                     
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ Deployment Name / Service Name ┃ Git Repository URL         ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ iris/stage-1-serve             │ https://github.com/o/iris  │
│ other/serve                    │ https://github.com/o/other │
└────────────────────────────────┴────────────────────────────┘
"""  # noqa: W291 - as it is printed


def test_services_are_listed() -> None:
    """Rows below the heading, whatever they are drawn with."""
    expected = (
        ListedService("iris", "stage-1-serve", "https://github.com/o/iris"),
        ListedService("other", "serve", "https://github.com/o/other"),
    )
    assert bodywork3.parse_deployments(LISTED) == expected
    assert bodywork3.parse_deployments(LISTED.replace("│", "|")) == expected
    assert bodywork3.parse_deployments("No deployments found\n") == ()


def shown(**fields: object) -> str:
    """Return the table of a service."""
    rows = "".join(f"│ {name:<18} │ {value!s:<30} │\n" for name, value in fields.items())
    return f"      iris/serve\n┃ Field              ┃ Value                          ┃\n{rows}"


FIELDS = {
    "name": "serve",
    "namespace": "iris",
    "service_exposed": True,
    "service_url": "http://serve.iris.svc.cluster.local",
    "service_port": 5000,
    "available_replicas": 2,
    "unavailable_replicas": 0,
    "git_url": "https://github.com/o/iris",
    "git_branch": "master",
    "git_commit_hash": "7eb21f9",
    "has_ingress": True,
    "ingress_route": "/iris/serve",
}


def test_a_service_is_shown() -> None:
    """Each field of the table; what there is none of says so."""
    service = ShownService("serve", "iris", "https://github.com/o/iris", "master", "7eb21f9", 2, 0, 5000, "/iris/serve")
    assert bodywork3.parse_deployment(shown(**FIELDS)) == service
    without = bodywork3.parse_deployment(shown(**FIELDS | {"service_port": "none", "ingress_route": "none"}))
    assert (without.port, without.ingress_route) == (0, "")
    with pytest.raises(ValueError, match="no table of a service"):
        bodywork3.parse_deployment("No deployments found\n")


def record(level: str, message: str) -> str:
    """Return a record of the log as it is laid out: wrapped to the terminal, and padded to its width."""
    head, indent = f"[26/11/26 11:26:10] {level:<8} ", 29
    lines = [line for part in message.split("\n") for line in textwrap.wrap(part, WIDTH - indent) or [""]]
    laid_out = [head + lines[0], *(" " * indent + line for line in lines[1:])]
    return "".join(f"{line:<{WIDTH}}\n" for line in laid_out)


def replayed(pod: str, text: str) -> str:
    """Return a stage's log as a deployment replays it."""
    return f"{f' logs for stage = {pod} ':─^{WIDTH}}\n{text}\n{'─' * WIDTH}\n"


RAISES = (
    record("INFO", "Attempting to run module = bodywork_project/train/train.py")
    + "Traceback (most recent call last):\n"
    + '  File "train.py", line 1, in <module>\n'
    + "    raise RuntimeError('no flower grows here')\n"
    + "RuntimeError: no flower grows here\n"
    + record("ERROR", "Stage train failed - CalledProcessError(1, ['python', 'train.py'])").rstrip()
)
NO_PACKAGE = (
    "ERROR: Could not find a version that satisfies the requirement joblib==99.9.9 (from versions: 1.0.1)\n"
    "ERROR: No matching distribution found for joblib==99.9.9\n\n"
    + record(
        "ERROR",
        "Stage train failed - RuntimeError(\"Cannot install stage requirements: ['pip', 'install', '-v', "
        "'joblib==99.9.9'] failed with None\")",
    ).rstrip()
)
JOB_FAILED = "job=train in namespace=iris have failed"
SERVICE_LATE = "deployment=serve in namespace=iris have yet to reach status=complete after 150s"


def test_stage_logs_are_told_apart() -> None:
    """In their order, by their pods' names."""
    stdout = record("INFO", "Creating k8s job") + replayed("train-x8jzk", "learned") + replayed("serve-6d4-b", "a\n\nb")
    assert bodywork3.parse_stage_logs(stdout) == (StageLog("train-x8jzk", "learned"), StageLog("serve-6d4-b", "a\n\nb"))


@pytest.mark.parametrize(
    ("said", "logs", "reason", "seen"),
    [
        pytest.param(
            "Git clone failed - calling ['git', 'clone', '--branch', 'nowhere', '--single-branch', "
            f"'{URL}', 'bodywork_project'] returned Cloning into 'bodywork_project'...\n"
            "fatal: Remote branch nowhere not found in upstream origin\n",
            "",
            "no such branch",
            "Remote branch nowhere not found in upstream origin",
            id="a branch is missing",
        ),
        pytest.param(
            f"Git clone failed - calling ['git'] returned fatal: repository '{URL}/' not found",
            "",
            "no such repository",
            URL,
            id="a repository is missing",
        ),
        pytest.param(
            "Git clone failed - calling ['git'] returned fatal: the disk is full", "", "git failed", "disk", id="git"
        ),
        pytest.param(
            "Bodywork config file has schema version 1.0, when Bodywork version 3.0.12 requires schema version 1.1",
            "",
            "wrong configuration version",
            "1.0",
            id="another version",
        ),
        pytest.param(
            "Bodywork config file missing sections: pipeline",
            "",
            "invalid configuration",
            "pipeline",
            id="a bodywork.yaml of 2.x",
        ),
        pytest.param(
            "Bodywork config missing or invalid parameters: pipeline.DAG -> required field",
            "",
            "invalid configuration",
            "pipeline.DAG",
            id="a field is missing",
        ),
        pytest.param(
            "Cannot parse YAML from bodywork_project/bodywork.yaml", "", "malformed configuration", "YAML", id="no YAML"
        ),
        pytest.param("Cannot locate o/i:1 on DockerHub", "", "no such image", "o/i:1", id="no such image"),
        pytest.param(
            "Invalid Docker image specified: x/o/i - cannot be parsed as DOCKERHUB_USERNAME/IMAGE_NAME:TAG",
            "",
            "bad image name",
            "x/o/i",
            id="an image of another registry",
        ),
        pytest.param(
            "A project with the same name (or namespace): iris, originating from a different git repository, has "
            "already been deployed. Please choose another name.",
            "",
            "name taken",
            "iris",
            id="another project of that name",
        ),
        pytest.param(
            "Inadequate cluster cpu and/or memory available to start jobs (train)", "", "no room", "train", id="no room"
        ),
        pytest.param(
            JOB_FAILED, replayed("train-x8jzk", RAISES), "stage failed", "RuntimeError: no flower", id="code raises"
        ),
        pytest.param(
            JOB_FAILED,
            replayed("train-x8jzk", NO_PACKAGE),
            "bad requirement",
            "No matching distribution found for joblib==99.9.9",
            id="a requirement is nowhere",
        ),
        pytest.param(
            "cannot determine status for job=train in namespace=iris",
            replayed("train-x8jzk", RAISES),
            "stage failed",
            "RuntimeError: no flower",
            id="its second pod failed",
        ),
        pytest.param(
            "cannot find pods with names that start with train in namespace=iris",
            "",
            "race in Bodywork",
            "train",
            id="pods come late",
        ),
        pytest.param(
            "job=train in namespace=iris yet to reach status=succeeded after 150s",
            "",
            "stage timed out",
            "150s",
            id="a batch stage overruns",
        ),
        pytest.param(
            SERVICE_LATE, replayed("serve-6d4-b", RAISES), "service timed out", "RuntimeError", id="never starts"
        ),
        pytest.param("something new", "", "unknown", "something new", id="something new"),
    ],
)
def test_a_deployment_fails(said: str, logs: str, reason: Reason, seen: str) -> None:
    """The reason is the stage's own where one failed; a message that was wrapped is whole again."""
    output = record("INFO", "Using k8s namespace = iris") + logs + record("ERROR", f"Deployment failed --> {said}")
    problem = bodywork3.parse_problem(output, exit_code=1)
    assert problem is not None
    assert (problem.reason, seen in problem.message) == (reason, True)
    assert "\n" not in problem.message


NOT_AUTHENTICATED = "Could not authenticate with active Kubernetes context. \n--> "
REFUSED = """\
({code})
Reason: {reason}
HTTP response headers: HTTPHeaderDict({{'Content-Type': 'application/json', 'Content-Length': '228'}})
HTTP response body: {{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "{message}",
"reason": "{reason}", "code": {code}}}
"""
FORBIDDEN = REFUSED.format(
    code=403,
    reason="Forbidden",
    message='namespaces is forbidden: User \\"x\\" cannot list resource \n\\"namespaces\\" at the cluster scope',
)
GONE = REFUSED.format(code=404, reason="NotFound", message="the server could not find the \nrequested resource")


@pytest.mark.parametrize(
    ("said", "reason", "message"),
    [
        pytest.param(
            NOT_AUTHENTICATED + FORBIDDEN,
            "API refused",
            'namespaces is forbidden: User "x" cannot list resource "namespaces" at the cluster scope',
            id="the API refuses",
        ),
        pytest.param(
            NOT_AUTHENTICATED + GONE,
            "API version gone",
            "the server could not find the requested resource",
            id="the API has no such version",
        ),
        pytest.param(
            NOT_AUTHENTICATED
            + "HTTPSConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /api/v1/namespaces\n",
            "cluster unreachable",
            "HTTPSConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /api/v1/namespaces",
            id="nobody answers",
        ),
        pytest.param(
            NOT_AUTHENTICATED + "Invalid kube-config file. No configuration found.\n",
            "no kubeconfig",
            "Invalid kube-config file. No configuration found.",
            id="no kubeconfig",
        ),
        pytest.param(NOT_AUTHENTICATED + "'stage'\n", "unknown", "'stage'", id="an error of its own"),
        pytest.param(
            NOT_AUTHENTICATED + "'deployment-name'\n", "unknown", "'deployment-name'", id="2.x has deployed something"
        ),
        pytest.param(
            "Could not find namespace=n on k8s cluster.\n",
            "not found",
            "Could not find namespace=n on k8s cluster",
            id="no namespace",
        ),
        pytest.param("Could not find service=serve.\n", "not found", "Could not find service=serve.", id="no service"),
        pytest.param(
            "deployment=iris could not be found on k8s cluster.\n",
            "not found",
            "deployment=iris could not be found on k8s cluster",
            id="no deployment",
        ),
    ],
)
def test_a_command_fails_with_0(said: str, reason: Reason, message: str) -> None:
    """Whatever it was, 3.0.12 could not authenticate: what stands behind says what it was."""
    problem = bodywork3.parse_problem(said, exit_code=0)
    assert problem is not None
    assert (problem.reason, problem.message) == (reason, message)


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(record("INFO", "Deployment successful"), id="a deployment"),
        pytest.param(
            "Could not find namespace=bodywork-deployment-jobs on k8s cluster.\nCluster has not been configured for "
            "Bodywork - running 'bodywork configure-cluster'.\n" + record("INFO", "Deployment successful"),
            id="the first deployment, which configures the cluster",
        ),
        pytest.param(
            replayed("train-x8jzk", record("ERROR", "Deployment failed --> a stage may say anything")), id="a stage's"
        ),
        pytest.param("....\ndeployment=iris deleted.\n", id="a deletion"),
        pytest.param("", id="silence"),
    ],
)
def test_what_is_no_problem(output: str) -> None:
    """It did what it was asked to."""
    assert bodywork3.parse_problem(output, exit_code=0) is None


def test_it_ends_without_a_word_for_it() -> None:
    """The last line, or the exit code, has to do."""
    usage = "Usage: bodywork create deployment [OPTIONS] GIT_URL\n\nError: Missing argument 'GIT_URL'.\n"
    problem = bodywork3.parse_problem(usage, exit_code=2)
    assert problem is not None
    assert (problem.reason, problem.message) == ("unknown", "Error: Missing argument 'GIT_URL'.")
    silent = bodywork3.parse_problem("", exit_code=137)
    assert silent is not None
    assert silent.message == "exit code 137, no output"
