"""Bodywork's command line: arguments, and what its output means. Outputs were recorded from Bodywork 2.1.3."""

from __future__ import annotations

import pytest

from harness.commands import bodywork
from harness.commands.bodywork import NamespaceSetup, Problem, StageLog, WorkflowRun

URL = "https://github.com/bodywork-ml/bodywork-ml-pipeline-project"
AT = "2026-11-23 15:45:05,348"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (bodywork.setup_namespace("ml-pipeline"), "setup-namespace ml-pipeline"),
        (
            bodywork.workflow(URL, "master", namespace="ml-pipeline"),
            f"workflow --namespace=ml-pipeline {URL} master",
        ),
        (
            bodywork.cronjob_create(
                "ml-pipeline", namespace="ml-pipeline", schedule="* 0 * * *", url=URL, branch="master"
            ),
            "cronjob create --namespace=ml-pipeline --name=ml-pipeline --schedule=* 0 * * * "
            f"--git-repo-url={URL} --git-repo-branch=master --retries=2 --history-limit=1",
        ),
        (bodywork.cronjob_display(namespace="n"), "cronjob display --namespace=n"),
        (bodywork.cronjob_history("c", namespace="n"), "cronjob history --namespace=n --name=c"),
        (bodywork.cronjob_logs("c-1", namespace="n"), "cronjob logs --namespace=n --name=c-1"),
        (bodywork.cronjob_delete("c", namespace="n"), "cronjob delete --namespace=n --name=c"),
        (bodywork.service_display(namespace="n"), "service display --namespace=n"),
        (bodywork.service_delete("s", namespace="n"), "service delete --namespace=n --name=s"),
        (bodywork.validate("bodywork.yaml"), "validate --file=bodywork.yaml --check-files"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_arguments(args: tuple[str, ...], expected: str) -> None:
    """They are the tutorial's; a schedule with blanks stays one argument."""
    assert " ".join(args) == expected
    assert not any(" " in argument for argument in args if not argument.startswith("--schedule="))


def test_what_setup_namespace_made() -> None:
    """Four objects the first time."""
    stdout = """\
creating namespace=ml-pipeline
creating service-account=bodywork-workflow-controller in namespace=ml-pipeline
creating cluster-role-binding=bodywork-workflow-controller--ml-pipeline
creating service-account=bodywork-jobs-and-deployments in namespace=ml-pipeline
"""
    assert bodywork.parse_setup_namespace(stdout) == NamespaceSetup(
        created=(
            "namespace=ml-pipeline",
            "service-account=bodywork-workflow-controller",
            "cluster-role-binding=bodywork-workflow-controller--ml-pipeline",
            "service-account=bodywork-jobs-and-deployments",
        ),
        existing=(),
    )


def test_what_setup_namespace_found() -> None:
    """Nothing is made the second time."""
    stdout = """\
namespace=ml-pipeline already exists
service-account=bodywork-workflow-controller already exists in namespace=ml-pipeline
service-account=bodywork-jobs-and-deployments already exists in namespace=ml-pipeline
"""
    assert bodywork.parse_setup_namespace(stdout) == NamespaceSetup(
        created=(),
        existing=(
            "namespace=ml-pipeline",
            "service-account=bodywork-workflow-controller",
            "service-account=bodywork-jobs-and-deployments",
        ),
    )


HISTORY_HEAD = (
    "recent workflow executions for cronjob=ml-pipeline in namespace=ml-pipeline:\n\n"
    f"{'JOB_NAME':<40}{'START_TIME':<30}{'COMPLETION_TIME':<30}{'ACTIVE':<20}{'SUCCEEDED':<20}{'FAILED':<20}\n"
)


def row(job: str, start: str, completion: str, active: int, succeeded: int, failed: int) -> str:
    """Return a row padded as Bodywork pads it."""
    return f"{job:<40}{start:<30}{completion:<30}{active:<20}{succeeded:<20}{failed:<20}\n"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param("", (), id="none yet"),
        pytest.param(
            row("first", "2026-11-23 15:45:20+00:00", "None", 1, 0, 0),
            (WorkflowRun("first", "2026-11-23 15:45:20+00:00", "", 1, 0, 0),),
            id="one that runs",
        ),
        pytest.param(
            row("waiting", "None", "None", 0, 0, 0), (WorkflowRun("waiting", "", "", 0, 0, 0),), id="not begun"
        ),
        pytest.param(
            row("a" * 50, "2026-11-23 15:45:20+00:00", "2026-11-23 15:46:20+00:00", 0, 1, 2)
            + row("b", "2026-11-23 16:45:20+00:00", "None", 0, 0, 3),
            (
                WorkflowRun("a" * 50, "2026-11-23 15:45:20+00:00", "2026-11-23 15:46:20+00:00", 0, 1, 2),
                WorkflowRun("b", "2026-11-23 16:45:20+00:00", "", 0, 0, 3),
            ),
            id="a name wider than its column",
        ),
    ],
)
def test_history(rows: str, expected: tuple[WorkflowRun, ...]) -> None:
    """Rows are read whatever their columns are moved by; the head is none."""
    assert bodywork.parse_history(HISTORY_HEAD + rows) == expected


def block(name: str, **fields: object) -> str:
    """Return a block of `display` as Bodywork lays it out."""
    rule = "-" * len(name)
    return f"\n{rule}-\n{name}:\n{rule}-\n" + "".join(f"|- {key:<22}{value}\n" for key, value in fields.items()) + "\n"


def test_cronjobs() -> None:
    """Each block becomes a value; a schedule keeps its blanks."""
    fields = {"NAME": "nightly", "SCHEDULE": "* 0 * * *", "RETRIES": 2, "GIT_URL": URL, "GIT_BRANCH": "master"}
    stdout = "cronjobs in namespace=ml-pipeline:\n\n" + block("nightly", **fields, LAST_EXECUTED=None)
    stdout += block("b", **{**fields, "RETRIES": 0}, LAST_EXECUTED="2026-11-23 15:45:20+00:00")
    nightly, other = bodywork.parse_cronjobs(stdout)
    assert (nightly.name, nightly.schedule, nightly.retries, nightly.git_url, nightly.git_branch) == (
        "nightly",
        "* 0 * * *",
        2,
        URL,
        "master",
    )
    assert (nightly.last_executed, other.last_executed) == ("", "2026-11-23 15:45:20+00:00")
    assert bodywork.parse_cronjobs("cronjobs in namespace=ml-pipeline:\n\n") == ()


def test_services() -> None:
    """A service that is not exposed has neither port nor route."""
    fields = {"GIT_URL": URL, "GIT_BRANCH": "master", "REPLICAS_AVAILABLE": 2, "REPLICAS_UNAVAILABLE": 0}
    exposed = {"EXPOSED_AS_SERVICE": "true", "CLUSTER_SERVICE_URL": "http://a.n.svc.cluster.local"}
    stdout = block(
        "p--a", **fields, **exposed, CLUSTER_SERVICE_PORT=5000, INGRESS_CREATED="true", INGRESS_ROUTE="/n/p--a"
    )
    stdout += block("p--b", **fields, CLUSTER_SERVICE_PORT="none", INGRESS_CREATED="false", INGRESS_ROUTE="none")
    first, second = bodywork.parse_services(stdout)
    assert (first.name, first.available, first.unavailable, first.port, first.ingress_route) == (
        "p--a",
        2,
        0,
        5000,
        "/n/p--a",
    )
    assert (second.port, second.ingress_route) == (0, "")


def replayed(name: str, text: str) -> str:
    """Return a stage's log as a workflow replays it."""
    rule = "-" * 100
    return f"{rule}\n---- pod logs for {name}\n{rule}\n{text}\n{rule}\n{rule}\n"


def test_stage_logs() -> None:
    """Each stage's own output is kept apart from the workflow's, empty lines inside it included."""
    stdout = (
        f"{AT} - INFO - workflow_execution._run_batch_stages - completed job=p--one from namespace=n\n"
        + replayed("p--one", "line\n\nlast\n")
        + f"{AT} - INFO - workflow_execution._run_batch_stages - deleting job=p--one from namespace=n\n"
        + replayed("p--two", "")
    )
    assert bodywork.parse_stage_logs(stdout) == (StageLog("p--one", "line\n\nlast"), StageLog("p--two", ""))


BROKEN_END = """
Traceback (most recent call last):
  File "/opt/bodywork/lib/python3.11/site-packages/bodywork/workflow_execution.py", line 156, in run_workflow
    if config.project.run_on_failure and type(e) not in [
       ^^^^^^
UnboundLocalError: cannot access local variable 'config' where it is not associated with a value
"""


def failed_workflow(message: str, *, end: str = "") -> str:
    """Return the end of a workflow that failed with `message`."""
    return (
        "namespace=ml-pipeline is setup for use by Bodywork\n"
        f"{AT} - WARNING - git.download_project_code_from_repo - Not configured for use with private GitHub repos\n"
        f"{AT} - ERROR - workflow_execution.run_workflow - failed to execute workflow for master branch of project "
        f"repository at {URL}: {message}\n{end}"
    )


CLONE = (
    "git clone failed - calling ['git', 'clone', '--branch', 'missing', '--single-branch', "
    f"'{URL}', PosixPath('bodywork_project')] returned Cloning into 'bodywork_project'...\n"
)
INVALID = "Bodywork config missing or invalid parameters: "

FAILED_WORKFLOWS = [
    (CLONE + "warning: Could not find remote branch missing to clone.\nfatal: Remote branch missing not found in "
     "upstream origin\n", "no such branch"),
    (CLONE + f"fatal: repository '{URL}/' not found\n", "no such repository"),
    (CLONE + f"fatal: unable to access '{URL}/': Could not resolve host: github.com\n", "git failed"),
    ("Unable to setup SSH for Github and you are trying to connect via SSH: cannot identify connection protocol in "
     "http://github.com/o/n- currently, there is only support for HTTPS and SSH", "bad URL"),
    ("cannot parse YAML from bodywork_project/bodywork.yaml", "malformed configuration"),
    ("no config file found at bodywork_project/bodywork.yaml", "malformed configuration"),
    (INVALID + "stages.stage_2_scoring_service.service.replicas -> must be of integer type", "invalid configuration"),
    (INVALID + "stages.stage_1_train_model.executable_module_path -> does not exist", "invalid configuration"),
    (INVALID + "project.workflow -> cannot find valid stage @ stages.stage_3", "invalid configuration"),
    ("Bodywork config file has schema version 1.1, when Bodywork version 2.1.3 requires schema version 1.0",
     "wrong configuration version"),
    ("cannot locate bodyworkml/bodywork-core:latest on DockerHub", "no such image"),
    ("cannot connect to https://hub.docker.com/v2/repositories/bodyworkml/bodywork-core/tags/latest to check image "
     "exists", "Docker Hub unreachable"),
    ("job=p--one in namespace=ml-pipeline have failed", "stage failed"),
    ("job=p--one in namespace=ml-pipeline have yet to reach status=succeeded after 120s", "stage timed out"),
    ("deployment=p--two in namespace=ml-pipeline have yet to reach status=complete after 120s", "service timed out"),
    ("cannot determine status for job=p--one in namespace=ml-pipeline", "race in Bodywork"),
    ("'BodyworkConfig' object has no attribute 'project'", "invalid configuration"),
    ("something nobody has seen yet", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize("end", ["", BROKEN_END], ids=["clean end", "traceback"])
@pytest.mark.parametrize(("message", "reason"), FAILED_WORKFLOWS, ids=lambda value: value[-40:].strip())
def test_why_a_workflow_failed(message: str, reason: str, end: str) -> None:
    """The reason is what the log says, and never the traceback that Bodywork makes of it."""
    problem = bodywork.parse_problem(failed_workflow(message, end=end), exit_code=1)
    assert problem is not None
    assert (problem.reason, problem.message) == (reason, message.strip())


def stage_failure(stage: str, why: str) -> str:
    """Return the line a stage that failed ends its log with."""
    return f"{AT} - ERROR - stage_execution.run_stage - Stage {stage} failed - {why}"


def test_a_failed_stage_brings_its_own_reason() -> None:
    """The workflow says only which job failed; why stands in the stage's log."""
    why = (
        "RuntimeError(\"Cannot install stage requirements: ['pip', 'install', 'joblib==99'] failed with ERROR: Could "
        'not find a version that satisfies the requirement joblib==99\\nERROR: No matching distribution found\\n")'
    )
    output = replayed("p--one", stage_failure("stage_1_train_model", why))
    output += failed_workflow("job=p--one in namespace=ml-pipeline have failed")
    problem = bodywork.parse_problem(output, exit_code=1)
    assert problem is not None
    assert problem.reason == "bad requirement"
    assert "job=p--one in namespace=ml-pipeline have failed; stage stage_1_train_model: " in problem.message
    assert "joblib==99\nERROR: No matching distribution found" in problem.message


def test_a_stage_whose_code_fails_is_a_failed_stage() -> None:
    """What the code raised is not mistaken for a problem of Bodywork's."""
    why = "CalledProcessError(1, ['python', 'train_model.py'])"
    output = replayed("p--one", stage_failure("one", why)) + failed_workflow("job=p--one in namespace=n have failed")
    problem = bodywork.parse_problem(output, exit_code=1)
    assert problem is not None
    assert problem.reason == "stage failed"
    assert problem.message.endswith(f"stage one: {why}")


RAISED = (
    'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n    main()\n'
    "urllib.error.HTTPError: HTTP Error 403: Forbidden\n"
)
SAID = stage_failure("one", "CalledProcessError(1, ['python', 'train.py'])") + "\n"
ITS_OWN = 'Traceback (most recent call last):\n  File "x"\nbodywork.exceptions.BodyworkStageFailure: Stage one failed\n'


@pytest.mark.parametrize(
    "text",
    [RAISED + SAID, SAID + RAISED, RAISED + SAID + ITS_OWN, ITS_OWN + SAID + RAISED],
    ids=["before Bodywork's line", "behind it", "before Bodywork's own traceback", "behind that"],
)
def test_what_a_stages_code_raised_is_the_reason(text: str) -> None:
    """Bodywork says only that python ended with 1; the traceback of the code says why, wherever it came to stand."""
    output = replayed("p--one", text.rstrip()) + failed_workflow("job=p--one in namespace=n have failed")
    problem = bodywork.parse_problem(output, exit_code=1)
    assert problem is not None
    assert problem.message.endswith("['python', 'train.py']): urllib.error.HTTPError: HTTP Error 403: Forbidden")


def test_a_stage_that_failed_twice_has_failed() -> None:
    """2.1.3 cannot tell what two failed pods of a Job mean; the stage's log can."""
    output = replayed("p--one", stage_failure("one", "CalledProcessError(1, ['python', 'train.py'])"))
    output += failed_workflow("cannot determine status for job=p--one in namespace=n")
    problem = bodywork.parse_problem(output, exit_code=1)
    assert problem is not None
    assert (problem.reason, problem.hint) == ("stage failed", "the stage's own log says why")


@pytest.mark.parametrize(
    ("output", "missing"),
    [
        ("cannot find pod for workflow job=x\n", "cannot find pod for workflow job=x"),
        ("namespace=n could not be found on k8s cluster\n", "namespace=n could not be found on k8s cluster"),
        ("a log\ncannot find pod for workflow job=x\n", ""),
        ("", ""),
    ],
    ids=["no pod", "no namespace", "a log that says so", "an empty log"],
)
def test_a_missing_log(output: str, missing: str) -> None:
    """A log may hold any sentence: only one that stands alone means that there is none."""
    assert bodywork.parse_missing_log(output) == missing


def test_a_single_stage() -> None:
    """`bodywork stage` says it without a workflow around it."""
    why = f'BodyworkGitError("{CLONE}fatal: Remote branch nobranch not found in upstream origin\\n")'.replace(
        "\n", "\\n"
    )
    problem = bodywork.parse_problem(stage_failure("one", why), exit_code=1)
    assert problem is not None
    assert problem.reason == "no such branch"


API = "Kubernetes API error returned when called from {} within cli.cronjob: {}"

SAID_INSTEAD_OF_FAILING = [
    (
        "cannot load authentica"
        "ion credentials from kubeconfig file when calling cli.setup_namespace: Invalid "
        "kube-config file. No configuration found.",
        0,
        "no kubeconfig",
    ),
    (
        "failed to connect to the Kubernetes API when called from display_cronjobs_in_namespace within cli.cronjob: "
        "HTTPSConnectionPool(host='127.0.0.1', port=6444): Max retries exceeded with url: /api/v1/namespaces",
        0,
        "cluster unreachable",
    ),
    (
        API.format("create_workflow_cronjob_in_namespace", "the server could not find the requested resource"),
        0,
        "API version gone",
    ),
    (API.format("display_cronjobs_in_namespace", 'namespaces is forbidden: User "x"'), 0, "API refused"),
    ("namespace=none is not setup for use by Bodywork", 1, "namespace not set up"),
    ("schedule=bogus is not a valid cron schedule", 0, "bad schedule"),
    ("namespace=nope could not be found on k8s cluster", 0, "not found"),
    ("deployment=x not found in namespace=ml-pipeline", 0, "not found"),
    ("cannot find pod for workflow job=nosuch", 0, "not found"),
    ("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", 1, "API refused"),
]


@pytest.mark.parametrize(
    ("line", "exit_code", "reason"), SAID_INSTEAD_OF_FAILING, ids=[said[0][:40] for said in SAID_INSTEAD_OF_FAILING]
)
def test_what_is_said_instead_of_failing(line: str, exit_code: int, reason: str) -> None:
    """A sentence is a problem also where the exit code is 0."""
    output = f"namespace=ml-pipeline is setup for use by Bodywork\n{line}\n"
    problem = bodywork.parse_problem(output, exit_code=exit_code)
    assert problem is not None
    assert (problem.reason, problem.message) == (reason, line)


@pytest.mark.parametrize(
    "output",
    [
        "workflow cronjob=ml-pipeline created in namespace=ml-pipeline\n",
        "namespace=ml-pipeline already exists\n",
        HISTORY_HEAD,
        f"{AT} - INFO - workflow_execution.run_workflow - successfully ran workflow for project={URL} on branch=master "
        "in kubernetes namespace=ml-pipeline\n",
        "",
    ],
    ids=["created", "there already", "empty history", "workflow", "no output"],
)
def test_what_is_no_problem(output: str) -> None:
    """Success stays success."""
    assert bodywork.parse_problem(output, exit_code=0) is None


@pytest.mark.parametrize("output", ["", "bodywork: error: argument command: invalid choice: 'x'"])
def test_an_unknown_failure_is_quoted(output: str) -> None:
    """A failure nobody knows keeps its last line, or says that there was none."""
    problem = bodywork.parse_problem(output, exit_code=2)
    assert problem == Problem("unknown", output or "exit code 2, no output")
