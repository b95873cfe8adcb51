"""bodywork 3.x: argument builders and output parsers; nothing here runs anything.

Builders return what follows the program's name. Checked against Bodywork 3.0.12, whose words are others than those of
2.x in :mod:`harness.commands.bodywork`: a pipeline is deployed with ``create deployment``, into a namespace of its own
that Bodywork makes, and there is no ``workflow``. Commands for its cronjobs and secrets are not here: a cronjob's pods
are of ``bodyworkml/bodywork-core:latest`` whatever bodywork.yaml says, and one cluster's ``latest`` is one version.

Output is laid out for a terminal of 175 columns, whatever it is written to (cli/terminal.py): log records are a time, a
level and a message that goes on, indented, in the lines below. What a stage wrote is replayed as rich's markup: of
``uvicorn[standard]`` it leaves ``uvicorn``, and of a log with something like ``[/usr]`` in it nothing at all.

The exit code is not enough: whatever goes wrong outside of a pipeline's run, 3.0.12 calls a failure to authenticate
(``k8s_auth`` of cli/cli.py) and ends with 0. :func:`parse_problem` reads what stands behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.commands.bodywork import NamespaceSetup, Problem, Reason, StageLog, last_raised

Args = tuple[str, ...]


def configure_cluster() -> Args:
    """``bodywork configure-cluster``: namespace bodywork-deployment-jobs, for what runs workflows in the cluster."""
    return ("configure-cluster",)


def create_deployment(url: str, branch: str = "") -> Args:
    """``bodywork create deployment``: run a pipeline's stages once, controlled from where the command runs.

    Args:
        url: address of the project's repository.
        branch: its branch; the repository's default one when empty.
    """
    return ("create", "deployment", url, *_branch(branch))


def update_deployment(url: str, branch: str = "") -> Args:
    """``bodywork update deployment``: another word for :func:`create_deployment`, once there is one."""
    return ("update", "deployment", url, *_branch(branch))


def _branch(name: str) -> Args:
    return (f"--branch={name}",) if name else ()


def get_deployments(*, namespace: str = "") -> Args:
    """``bodywork get deployments``: the services of all pipelines.

    Args:
        namespace: where to look, everywhere when empty. 3.0.12 trips over what 2.x has deployed.
    """
    return ("get", "deployments", *((f"--namespace={namespace}",) if namespace else ()))


def get_deployment(pipeline: str, service: str) -> Args:
    """``bodywork get deployment``: one service of a pipeline; `service` is its stage's name as Kubernetes has it."""
    return ("get", "deployment", pipeline, service)


def delete_deployment(pipeline: str) -> Args:
    """``bodywork delete deployment``: the namespace that the pipeline's services are in, with all that is in it."""
    return ("delete", "deployment", pipeline)


def parse_configure_cluster(stdout: str) -> NamespaceSetup:
    """Read the output of ``bodywork configure-cluster``."""
    return NamespaceSetup(
        created=tuple(re.findall(r"^Creating ([\w-]+=\S+?)(?:\.$| in namespace=)", stdout, re.MULTILINE)),
        existing=tuple(re.findall(r"^([\w-]+=\S+) already exists", stdout, re.MULTILINE)),
    )


@dataclass(frozen=True)
class ListedService:
    """One row of ``bodywork get deployments``.

    Args:
        pipeline: its pipeline's name in bodywork.yaml.
        name: its stage's name, as Kubernetes has it.
        git_url: address of the project's repository.
    """

    pipeline: str
    name: str
    git_url: str


def parse_deployments(stdout: str) -> tuple[ListedService, ...]:
    """Read the output of ``bodywork get deployments``; what its table has no room for ends in an ellipsis."""
    found = [(*which.partition("/"), url) for which, url in _rows(stdout)]
    return tuple(ListedService(pipeline, name, url) for pipeline, slash, name, url in found if slash)


@dataclass(frozen=True)
class ShownService:
    """The table of ``bodywork get deployment PIPELINE SERVICE``.

    Args:
        name: name of its Deployment, and of its Service and Ingress where it has them.
        namespace: where they are.
        git_url: address of the project's repository.
        git_branch: its branch; ``NA`` when none was named.
        git_commit: the commit that it was deployed from, abbreviated.
        available: replicas that are available.
        unavailable: replicas that are not.
        port: port of its Service, 0 without one.
        ingress_route: path of its Ingress, empty without one.
    """

    name: str
    namespace: str
    git_url: str
    git_branch: str
    git_commit: str
    available: int
    unavailable: int
    port: int
    ingress_route: str


def parse_deployment(stdout: str) -> ShownService:
    """Read the output of ``bodywork get deployment PIPELINE SERVICE``.

    Raises:
        ValueError: it is no such table.
    """
    fields = dict(_rows(stdout))
    try:
        return ShownService(
            name=fields["name"],
            namespace=fields["namespace"],
            git_url=fields["git_url"],
            git_branch=fields["git_branch"],
            git_commit=fields["git_commit_hash"],
            available=int(fields["available_replicas"]),
            unavailable=int(fields["unavailable_replicas"]),
            port=0 if fields["service_port"] == "none" else int(fields["service_port"]),
            ingress_route="" if fields["ingress_route"] == "none" else fields["ingress_route"],
        )
    except KeyError as error:
        raise ValueError(f"no table of a service: it has no field {error}") from error


# rich draws with these where the output's encoding has them, and with "|" elsewhere.
_ROW = re.compile(r"^[│|] (.*\S) +[│|] (.*\S) +[│|]$", re.MULTILINE)


def _rows(stdout: str) -> list[tuple[str, str]]:
    """Return the rows of a table of two columns; its heading is drawn with other lines."""
    return [(first.strip(), second.strip()) for first, second in _ROW.findall(stdout)]


_STAGE_LOG = re.compile(r"^[─-]+ logs for stage = (\S+) [─-]+\n(.*?)\n?^[─-]{175}$", re.MULTILINE | re.DOTALL)


def parse_stage_logs(stdout: str) -> tuple[StageLog, ...]:
    """Read the stages' own output out of what a deployment printed, in their order; they bear their pods' names."""
    return tuple(StageLog(name, text.strip("\n")) for name, text in _STAGE_LOG.findall(stdout))


# What the words mean, the most telling first.
_MEANINGS: tuple[tuple[str, Reason, str], ...] = (
    (r"Remote branch \S+ not found", "no such branch", "push the branch, or name another"),
    (r"repository '\S+' not found|Repository not found", "no such repository", "is the address spelt right?"),
    (r"cannot identify connection protocol", "bad URL", "Bodywork clones https://, git@ and file:// addresses only"),
    (r"Git clone failed|Unable to setup SSH|git is not available|Unable to retrieve git commit", "git failed", ""),
    (r"Cannot parse YAML from|No config file found", "malformed configuration", "`bodywork validate` checks it"),
    (
        r"Bodywork config file missing sections: .*\bpipeline\b",
        "invalid configuration",
        'a bodywork.yaml of Bodywork 2 has `project:`: 3.x wants version "1.1", and `pipeline:` instead',
    ),
    (r"Bodywork config (?:file )?missing", "invalid configuration", "`bodywork validate` checks it"),
    (
        r"Bodywork config file has schema version",
        "wrong configuration version",
        'version "1.1", with `pipeline:` for `project:`, belongs to Bodywork 3.x, version "1.0" to 2.x',
    ),
    (r"Cannot locate \S+ on DockerHub", "no such image", "push the image to where the cluster pulls from"),
    (
        r"Invalid Docker image specified",
        "bad image name",
        "Bodywork wants USER/IMAGE or USER/IMAGE:TAG, without a registry",
    ),
    (
        r"cannot connect to https://hub\.docker\.com/",
        "Docker Hub unreachable",
        "Bodywork asks hub.docker.com for the tag before each run: give it the Internet, or a stand-in it trusts",
    ),
    (
        r"A project with the same name",
        "name taken",
        "`pipeline.name` of bodywork.yaml is the namespace: take another, or delete the other deployment",
    ),
    (
        r"Inadequate cluster cpu and/or memory",
        "no room",
        "ask for less in bodywork.yaml, or give the cluster's nodes more",
    ),
    (r"job=\S+ in namespace=\S+ (?:have )?yet to reach", "stage timed out", "raise max_completion_time_seconds"),
    (
        r"deployment=\S+ in namespace=\S+ have yet to reach",
        "service timed out",
        "did the pod log an error? else raise max_startup_time_seconds",
    ),
    (
        r"job=\S+ in namespace=\S+ have failed",
        "stage failed",
        "the stage's own log says why; one that ends without an error ran into max_completion_time_seconds",
    ),
    (
        r"cannot determine status for (?:job|deployment)=|cannot find (?:pods with|job=|deployment=)|'NoneType' object",
        "race in Bodywork",
        "3.0.12 looks for pods five seconds after it asks for them, and counts a Job's to one",
    ),
    (r"Unable to setup namespace|^\(\d{3}\) Reason: ", "API refused", ""),
)
_BEHIND_WHICH_A_STAGE_MAY_BE = frozenset({"stage failed", "service timed out", "stage timed out", "race in Bodywork"})

# "create deployment" says of the namespace that it is not there before it makes it.
_NOT_FOUND = re.compile(
    r"^(?:Could not find service=\S+|deployment=\S+ could not be found on k8s cluster)"
    r"|\ACould not find namespace=\S+ on k8s cluster(?=\.\s*\Z)",
    re.MULTILINE,
)
_ANY_ERROR = re.compile(
    r"^Could not authenticate with active Kubernetes context\. *\n--> (.*)", re.MULTILINE | re.DOTALL
)
_FAILED = "Deployment failed --> "
_STAGE_FAILED = re.compile(r"Stage (\S+) failed - (.*)", re.DOTALL)
_NO_REQUIREMENTS = "Cannot install stage requirements"


def parse_problem(output: str, *, exit_code: int) -> Problem | None:
    """Say why a command did not do what it was asked to; ``None`` when it did.

    Args:
        output: what it wrote, standard output and standard error.
        exit_code: its exit code, which is 0 also for some of what went wrong.
    """
    own = _STAGE_LOG.sub("", output)
    failed = [said.removeprefix(_FAILED) for said in _records(own, "ERROR") if said.startswith(_FAILED)]
    if failed:
        return _deployment_problem(failed[-1], parse_stage_logs(output))
    if said := _ANY_ERROR.search(own):
        return _refusal(" ".join(said[1].split()))
    if said := _NOT_FOUND.search(own):
        return Problem("not found", said[0])
    if exit_code == 0:
        return None
    return Problem("unknown", own.strip().rpartition("\n")[2] or f"exit code {exit_code}, no output")


# A message goes on below itself: behind the time, the level (eight columns) and the blanks between.
_RECORD = re.compile(r"^\[\d\d/\d\d/\d\d \d\d:\d\d:\d\d\] ([A-Z]+) +(.*(?:\n {29}.*)*)", re.MULTILINE)


def _records(text: str, level: str) -> Iterator[str]:
    """Give the messages of Bodywork's log that are of a level, each in one line."""
    return (" ".join(message.split()) for said_level, message in _RECORD.findall(text) if said_level == level)


def _deployment_problem(message: str, logs: Sequence[StageLog]) -> Problem:
    found = next((Problem(why, message, hint) for words, why, hint in _MEANINGS if re.search(words, message)), None)
    if found is None:
        return Problem("unknown", message)
    if found.reason not in _BEHIND_WHICH_A_STAGE_MAY_BE:
        return found
    for log in logs:
        for own in filter(None, map(_STAGE_FAILED.match, _records(log.text, "ERROR"))):
            return _stage_problem(found, own[1], own[2], log.text)
    return found


def _stage_problem(found: Problem, stage: str, said: str, log: str) -> Problem:
    """Return what a stage's own log says of why Bodywork found it to have failed."""
    if _NO_REQUIREMENTS in said:
        # What pip says it says to standard error, which Bodywork does not keep: the last line is the conclusion.
        pip = re.findall(r"^ERROR: (.*)$", log, re.MULTILINE)
        seen = f"{found.message}; stage {stage}: {pip[-1] if pip else said}"
        return Problem("bad requirement", seen, "is each pinned version there for the image's Python?")
    raised = last_raised(log)
    seen = f"{found.message}; stage {stage}: {said}" + (f": {raised}" if raised else "")
    # Two failed pods of a Job are more than 3.0.12 counts to: the stage has failed all the same.
    if found.reason == "race in Bodywork":
        return Problem("stage failed", seen, "the stage's own log says why")
    return Problem(found.reason, seen, found.hint)


def _refusal(said: str) -> Problem:
    """Return what an error is that Bodywork takes for a failure to authenticate."""
    told = re.search(r'"message": ?"((?:[^"\\]|\\.)*)"', said)
    message = told[1].replace('\\"', '"') if told else said
    if message == "the server could not find the requested resource":
        hint = "cronjobs of Bodywork 3 need batch/v1beta1, which Kubernetes serves up to 1.24"
        return Problem("API version gone", message, hint)
    if re.match(r"\(\d{3}\)", said):
        return Problem("API refused", message)
    if "Max retries exceeded" in said:
        return Problem("cluster unreachable", message)
    if "kube-config" in said or "kubeconfig" in said.lower():
        return Problem("no kubeconfig", message, "set KUBECONFIG")
    if said == "'deployment-name'":
        hint = "what 2.x has deployed has no such label, and 3.0.12 looks for it: name a namespace without such a thing"
        return Problem("unknown", message, hint)
    return Problem("unknown", message, "3.0.12 calls any error a failure to authenticate")
