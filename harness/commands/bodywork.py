"""bodywork: argument builders and output parsers; nothing here runs anything.

Builders return what follows the program's name. Checked against Bodywork 2.1.3; for 3.x see
:mod:`harness.commands.bodywork3`.

Its exit code is not enough: where the Kubernetes API refuses or does not answer, where a schedule is malformed or a
name is not there, 2.1.3 prints a sentence and ends with 0. :func:`parse_problem` reads the sentence. Where a workflow
ends before its project's configuration was read, 2.1.3 trips over its own error handling and ends in a traceback about
a local variable; the true reason stands in its log, before that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Args = tuple[str, ...]


def setup_namespace(namespace: str) -> Args:
    """``bodywork setup-namespace``: the namespace, its service accounts and what these may do."""
    return ("setup-namespace", namespace)


def workflow(url: str, branch: str, *, namespace: str) -> Args:
    """``bodywork workflow``: run a project's stages once, controlled from where the command runs."""
    return ("workflow", f"--namespace={namespace}", url, branch)


def cronjob_create(
    name: str, *, namespace: str, schedule: str, url: str, branch: str, retries: int = 2, history_limit: int = 1
) -> Args:
    """``bodywork cronjob create``.

    Args:
        name: the CronJob's name.
        namespace: where it runs.
        schedule: five fields of cron.
        url: address of the project's repository.
        branch: its branch.
        retries: how often a workflow that failed is run again.
        history_limit: how many ended workflows are kept, for their logs.
    """
    return (
        "cronjob",
        "create",
        f"--namespace={namespace}",
        f"--name={name}",
        f"--schedule={schedule}",
        f"--git-repo-url={url}",
        f"--git-repo-branch={branch}",
        f"--retries={retries}",
        f"--history-limit={history_limit}",
    )


def cronjob_display(*, namespace: str) -> Args:
    """``bodywork cronjob display``: all of a namespace."""
    return ("cronjob", "display", f"--namespace={namespace}")


def cronjob_history(name: str, *, namespace: str) -> Args:
    """``bodywork cronjob history``: the workflows that a CronJob started."""
    return ("cronjob", "history", f"--namespace={namespace}", f"--name={name}")


def cronjob_logs(job: str, *, namespace: str) -> Args:
    """``bodywork cronjob logs``: what one workflow wrote; `job` is a name from its history, not the CronJob's."""
    return ("cronjob", "logs", f"--namespace={namespace}", f"--name={job}")


def cronjob_delete(name: str, *, namespace: str) -> Args:
    """``bodywork cronjob delete``."""
    return ("cronjob", "delete", f"--namespace={namespace}", f"--name={name}")


def service_display(*, namespace: str) -> Args:
    """``bodywork service display``: all of a namespace."""
    return ("service", "display", f"--namespace={namespace}")


def service_delete(name: str, *, namespace: str) -> Args:
    """``bodywork service delete``: a service stage's Deployment, Service and Ingress."""
    return ("service", "delete", f"--namespace={namespace}", f"--name={name}")


def validate(file: str) -> Args:
    """``bodywork validate``: check a bodywork.yaml and the files it names."""
    return ("validate", f"--file={file}", "--check-files")


@dataclass(frozen=True)
class NamespaceSetup:
    """What ``bodywork setup-namespace`` said it made and found, as ``kind=name``.

    Args:
        created: what was not there.
        existing: what was.
    """

    created: tuple[str, ...]
    existing: tuple[str, ...]


def parse_setup_namespace(stdout: str) -> NamespaceSetup:
    """Read the output of ``bodywork setup-namespace``."""
    return NamespaceSetup(
        created=tuple(re.findall(r"^creating (\S+=\S+)", stdout, re.MULTILINE)),
        existing=tuple(re.findall(r"^(\S+=\S+) already exists", stdout, re.MULTILINE)),
    )


@dataclass(frozen=True)
class WorkflowRun:
    """One row of ``bodywork cronjob history``.

    Args:
        job: the Job's name.
        start_time: as printed, e.g. ``2026-11-23 15:45:20+00:00``; empty before it started.
        completion_time: likewise; empty before it succeeded.
        active: pods that run.
        succeeded: pods that succeeded.
        failed: pods that failed.
    """

    job: str
    start_time: str
    completion_time: str
    active: int
    succeeded: int
    failed: int


_TIME = r"(?:None|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*)"
# Columns are padded, and names longer than theirs move the others to the right: counting characters would not do.
_HISTORY_ROW = re.compile(rf"^(\S+?)\s*({_TIME})\s+({_TIME})\s+(\d+)\s+(\d+)\s+(\d+)\s*$", re.MULTILINE)


def parse_history(stdout: str) -> tuple[WorkflowRun, ...]:
    """Read the output of ``bodywork cronjob history``, in the order printed."""
    return tuple(
        WorkflowRun(job, _time(start), _time(completion), int(active), int(succeeded), int(failed))
        for job, start, completion, active, succeeded, failed in _HISTORY_ROW.findall(stdout)
    )


def _time(text: str) -> str:
    return "" if text == "None" else text


@dataclass(frozen=True)
class CronJob:
    """One block of ``bodywork cronjob display``.

    Args:
        name: its name.
        schedule: five fields of cron.
        retries: how often a workflow that failed is run again.
        git_url: address of the project's repository.
        git_branch: its branch.
        last_executed: as printed; empty before the first time.
    """

    name: str
    schedule: str
    retries: int
    git_url: str
    git_branch: str
    last_executed: str


def parse_cronjobs(stdout: str) -> tuple[CronJob, ...]:
    """Read the output of ``bodywork cronjob display``."""
    return tuple(
        CronJob(
            name=name,
            schedule=block["SCHEDULE"],
            retries=int(block["RETRIES"]),
            git_url=block["GIT_URL"],
            git_branch=block["GIT_BRANCH"],
            last_executed=_time(block["LAST_EXECUTED"]),
        )
        for name, block in _blocks(stdout)
    )


@dataclass(frozen=True)
class DeployedService:
    """One block of ``bodywork service display``.

    Args:
        name: name of its Deployment, and of its Service and Ingress where it has them.
        git_url: address of the project's repository.
        git_branch: its branch.
        available: replicas that are available.
        unavailable: replicas that are not.
        port: port of its Service, 0 without one.
        ingress_route: path of its Ingress, empty without one.
    """

    name: str
    git_url: str
    git_branch: str
    available: int
    unavailable: int
    port: int
    ingress_route: str


def parse_services(stdout: str) -> tuple[DeployedService, ...]:
    """Read the output of ``bodywork service display``."""
    return tuple(
        DeployedService(
            name=name,
            git_url=block["GIT_URL"],
            git_branch=block["GIT_BRANCH"],
            available=int(block["REPLICAS_AVAILABLE"]),
            unavailable=int(block["REPLICAS_UNAVAILABLE"]),
            port=0 if block["CLUSTER_SERVICE_PORT"] == "none" else int(block["CLUSTER_SERVICE_PORT"]),
            ingress_route="" if block["INGRESS_ROUTE"] == "none" else block["INGRESS_ROUTE"],
        )
        for name, block in _blocks(stdout)
    )


def _blocks(stdout: str) -> list[tuple[str, dict[str, str]]]:
    """Return the ``display`` blocks: a name between two rules, and a table below them."""
    parts = re.split(r"^-+\n(\S+):\n-+$", stdout, flags=re.MULTILINE)
    return [
        (name, dict(re.findall(r"^\|- (\S+) +(.*\S)\s*$", body, re.MULTILINE)))
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


@dataclass(frozen=True)
class StageLog:
    """What a stage's pod wrote, as a workflow replays it.

    Args:
        name: the Job's or Deployment's name, ``<project>--<stage>``.
        text: what it wrote.
    """

    name: str
    text: str


_RULE = "-" * 100
_STAGE_LOG = re.compile(
    rf"^{_RULE}\n---- pod logs for (\S+)\n{_RULE}\n(.*?)\n?{_RULE}\n{_RULE}$", re.MULTILINE | re.DOTALL
)


def parse_stage_logs(stdout: str) -> tuple[StageLog, ...]:
    """Read the stages' own output out of what ``bodywork workflow`` or ``cronjob logs`` printed, in their order."""
    return tuple(StageLog(name, text.strip("\n")) for name, text in _STAGE_LOG.findall(stdout))


Reason = Literal[
    "no kubeconfig",
    "cluster unreachable",
    "API refused",
    "API version gone",
    "namespace not set up",
    "not found",
    "bad schedule",
    "no such branch",
    "no such repository",
    "git failed",
    "bad URL",
    "malformed configuration",
    "invalid configuration",
    "wrong configuration version",
    "no such image",
    "bad image name",
    "Docker Hub unreachable",
    "bad requirement",
    "stage failed",
    "stage timed out",
    "service timed out",
    "race in Bodywork",
    "name taken",
    "no room",
    "unknown",
]


@dataclass(frozen=True)
class Problem:
    """Why a Bodywork command did not do what it was asked to.

    Args:
        reason: the kind of problem.
        message: Bodywork's own words for it, without its traceback.
        hint: what to try; empty when the message says it.
    """

    reason: Reason
    message: str
    hint: str = ""


# What the words mean, the most telling first: a stage's own failure stands in its log, which a workflow replays, and
# the workflow then says no more than that the stage has failed.
_MEANINGS: tuple[tuple[str, Reason, str], ...] = (
    (r"Cannot install stage requirements: ", "bad requirement", "is each pinned version there for the image's Python?"),
    (r"Remote branch \S+ not found", "no such branch", "push the branch, or name another"),
    (r"repository '\S+' not found|Repository not found", "no such repository", "is the address spelt right?"),
    (r"cannot identify connection protocol", "bad URL", "Bodywork clones https://, git@ and file:// addresses only"),
    (r"git clone failed|Unable to setup SSH|git is not available", "git failed", ""),
    (r"cannot parse YAML from|no config file found", "malformed configuration", "`bodywork validate` checks it"),
    (r"Bodywork config (?:file )?missing", "invalid configuration", "`bodywork validate` checks it"),
    (
        r"'BodyworkConfig' object has no attribute '\w+'",
        "invalid configuration",
        "something is missing from the section of bodywork.yaml that is named so: `bodywork validate` says what",
    ),
    (
        r"Bodywork config file has schema version",
        "wrong configuration version",
        'version "1.0" belongs to Bodywork 2.0 and 2.1',
    ),
    (r"cannot locate \S+ on DockerHub", "no such image", "push the image to where the cluster pulls from"),
    (r"invalid DOCKER_IMAGE", "bad image name", "Bodywork wants USER/IMAGE or USER/IMAGE:TAG, without a registry"),
    (
        r"cannot connect to https://hub\.docker\.com/",
        "Docker Hub unreachable",
        "Bodywork asks hub.docker.com for the tag before each run: give it the Internet, or a stand-in it trusts",
    ),
    (r"job=\S+ in namespace=\S+ have yet to reach", "stage timed out", "raise max_completion_time_seconds"),
    (
        r"deployment=\S+ in namespace=\S+ have yet to reach",
        "service timed out",
        "did the pod log an error? else raise max_startup_time_seconds",
    ),
    (r"job=\S+ in namespace=\S+ have failed", "stage failed", "the stage's own log says why"),
    (
        r"cannot determine status for (?:job|deployment)=",
        "race in Bodywork",
        "2.1.3 counts to one: between two states of a Job, and after a second failed pod, it gives up",
    ),
)

_WORKFLOW_FAILED = re.compile(
    r"failed to execute workflow for .*? branch of project repository at \S+: (.*?)"
    r"(?=\n+Traceback \(most recent call last\)|\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d|\Z)",
    re.DOTALL,
)
_STAGE_FAILED = re.compile(r"Stage (\S+) failed - (.*)")

# Sentences that 2.1.3 prints instead of failing, and what they mean.
_SENTENCES: tuple[tuple[str, Reason, str], ...] = (
    (r"^cannot load authentica\w+ credentials from kubeconfig.*", "no kubeconfig", "set KUBECONFIG"),
    (r"^failed to connect to the Kubernetes API.*", "cluster unreachable", ""),
    (
        r"^Kubernetes API error returned .*: the server could not find the requested resource$",
        "API version gone",
        "Bodywork 2.1 needs extensions/v1beta1 and batch/v1beta1, which Kubernetes serves up to 1.21 and 1.24",
    ),
    (r"^Kubernetes API error returned .*", "API refused", ""),
    (r"^namespace=\S+ is not setup for use by Bodywork$", "namespace not set up", "`bodywork setup-namespace` it"),
    (r"^schedule=.* is not a valid cron schedule$", "bad schedule", "Bodywork takes five fields separated by a blank"),
    (r"^namespace=\S+ could not be found on k8s cluster$", "not found", ""),
    (r"^\S+=\S+ not found in namespace=\S+$", "not found", ""),
    (
        r"^cannot find pod for workflow job=\S+$",
        "not found",
        "take a name from the history; Jobs go 15 minutes after they end",
    ),
)


def parse_missing_log(stdout: str) -> str:
    """Return the sentence that ``bodywork cronjob logs`` prints when there is no log; empty when there is one.

    It ends with 0 then, and anything a workflow wrote may stand in a log: only output that is this sentence counts.
    """
    said = re.fullmatch(
        r"cannot find pod for workflow job=\S+|namespace=\S+ could not be found on k8s cluster", stdout.strip()
    )
    return said[0] if said else ""


def parse_problem(output: str, *, exit_code: int) -> Problem | None:
    """Say why a command did not do what it was asked to; ``None`` when it did.

    Args:
        output: what it wrote, standard output and standard error.
        exit_code: its exit code, which is 0 also for some of what went wrong.
    """
    if failed := _WORKFLOW_FAILED.search(output):
        return _workflow_problem(output, failed[1].strip())
    if failed := _STAGE_FAILED.search(output):
        return _meaning(_unescaped(failed[2])) or Problem("stage failed", failed[0])
    for pattern, reason, hint in _SENTENCES:
        if said := re.search(pattern, output, re.MULTILINE):
            return Problem(reason, said[0], hint)
    if exit_code == 0:
        return None
    said_last = output.strip().rpartition("\n")[2]
    if said_last.startswith("json.decoder.JSONDecodeError"):
        hint = "2.1.3 expects JSON in each of the API server's refusals; is the API version it asks for served?"
        return Problem("API refused", said_last, hint)
    return Problem("unknown", said_last or f"exit code {exit_code}, no output")


_BEHIND_WHICH_A_STAGE_MAY_BE = frozenset({"stage failed", "service timed out", "stage timed out", "race in Bodywork"})
_HINTS: dict[Reason, str] = {"stage failed": "the stage's own log says why"}


def _workflow_problem(output: str, message: str) -> Problem:
    found = _meaning(message)
    if found and found.reason in _BEHIND_WHICH_A_STAGE_MAY_BE:
        for log in parse_stage_logs(output):
            if own := _STAGE_FAILED.search(log.text):
                said = _unescaped(own[2])
                why = _meaning(said)
                # Two failed pods of a Job are more than 2.1.3 counts to: the stage has failed all the same.
                reason: Reason = "stage failed" if found.reason == "race in Bodywork" else found.reason
                reason = why.reason if why else reason
                raised = "" if why else last_raised(log.text)
                seen = f"{message}; stage {own[1]}: {said}" + (f": {raised}" if raised else "")
                return Problem(reason, seen, why.hint if why else _HINTS.get(reason, found.hint))
    return found or Problem("unknown", message)


# What a traceback ends in: the first line that is not part of it.
_RAISED = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(\S.*)$", re.MULTILINE)


# Bodywork's own account of it: python ended with something else than 0.
_BODYWORKS = ("bodywork.", "subprocess.CalledProcessError")


def last_raised(text: str) -> str:
    """Return what the last traceback of a stage's code ends in, e.g. ``KeyError: 'species'``.

    It may stand before or after the line in which Bodywork says that the stage failed: one is standard error, the other
    standard output.
    """
    raised = [line for line in _RAISED.findall(text) if not line.startswith(_BODYWORKS)]
    return raised[-1] if raised else ""


def _meaning(message: str) -> Problem | None:
    return next(
        (Problem(reason, message, hint) for pattern, reason, hint in _MEANINGS if re.search(pattern, message)), None
    )


def _unescaped(text: str) -> str:
    r"""Return a ``repr``'s text with its line ends as such: stages log theirs as ``'...\\n...'``."""
    return text.replace("\\n", "\n").strip()
