"""Helm: argument builders and output parsers; nothing here runs anything.

Builders return what follows the program's name. Checked against Helm 3.20 and 4.3: where Helm 4 spells a flag
differently the builders ask a :class:`Dialect`, and parsers read the words of both, so that the differences stay in
this one place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Args = tuple[str, ...]

# Helm reads values from standard input under this name, so that values given as a dict never touch the disk.
STDIN = "-"


@dataclass(frozen=True)
class Values:
    """Values for a chart, in the order Helm merges them: files first, then `inline`, then `overrides`.

    Args:
        files: values files.
        inline: values as a mapping, given to Helm on standard input.
        overrides: ``--set`` expressions by key path, e.g. ``{"app.replicas": "2"}``; Helm guesses their types.
        strings: ``--set-string`` expressions by key path: always strings.
    """

    files: Sequence[Path] = ()
    inline: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    strings: Mapping[str, str] = field(default_factory=dict)

    def flags(self) -> Args:
        """The flags that hand these values to Helm."""
        return (
            *(f"--values={file}" for file in self.files),
            *((f"--values={STDIN}",) if self.inline else ()),
            *(f"--set={key}={_literal(value)}" for key, value in self.overrides.items()),
            *(f"--set-string={key}={_escaped(value)}" for key, value in self.strings.items()),
        )

    def stdin(self) -> str | None:
        """`inline` as JSON (which is YAML), or ``None`` when there is none."""
        return json.dumps(self.inline) if self.inline else None


def merged_values(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return two values files merged as Helm merges them: mappings key by key, anything else as a whole."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            merged_values(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _literal(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _escaped(value) if isinstance(value, str) else str(value)


def _escaped(text: str) -> str:
    r"""Helm splits at commas and reads ``{`` as the start of a list unless they are escaped.

    Source: https://helm.sh/docs/intro/using_helm/ ("The format and limitations of --set").
    """
    return re.sub(r"([,\\{}])", r"\\\1", text)


@dataclass(frozen=True)
class Dialect:
    """How a major version of Helm spells what has changed.

    Args:
        major: 3 or 4.
    """

    major: int = 3

    @classmethod
    def from_version(cls, stdout: str) -> Dialect:
        """Read ``helm version --template {{.Version}}``, e.g. ``v3.20.2``."""
        match = re.match(r"v?(\d+)\.", stdout.strip())
        if match is None:
            raise ValueError(f"not a Helm version: {stdout.strip()!r}")
        return cls(int(match[1]))

    def dry_run(self, *, server: bool) -> Args:
        """Helm 4 dropped the bare ``--dry-run``; both take a value."""
        return (f"--dry-run={'server' if server else 'client'}",)

    def no_wait(self) -> Args:
        """Helm 4 always waits for hooks and spells "nothing else" as a strategy; Helm 3 does so without a flag."""
        return ("--wait=hookOnly",) if self.major >= 4 else ()  # noqa: PLR2004 - the major version itself

    def in_any_state(self) -> Args:
        """Helm 4 lists releases in any state and has no flag for it."""
        return () if self.major >= 4 else ("--all",)  # noqa: PLR2004 - as above


def environment(home: Path) -> Mapping[str, str | None]:
    """Return the variables that keep Helm's files below `home` and take out what the user's shell says to Helm."""
    return {
        "HELM_CACHE_HOME": str(home / "cache"),
        "HELM_CONFIG_HOME": str(home / "config"),
        "HELM_DATA_HOME": str(home / "data"),
        # What the user's shell may say about another cluster or another way of storing releases.
        "HELM_NAMESPACE": None,
        "HELM_KUBECONTEXT": None,
        "HELM_KUBEAPISERVER": None,
        "HELM_KUBETOKEN": None,
        "HELM_KUBECAFILE": None,
        "HELM_KUBEASUSER": None,
        "HELM_KUBEASGROUPS": None,
        "HELM_DRIVER": None,
        "HELM_DEBUG": None,
        "HELM_CONTENT_CACHE": None,
        "HELM_PLUGINS": None,
        "HELM_REGISTRY_CONFIG": None,
        "HELM_REPOSITORY_CACHE": None,
        "HELM_REPOSITORY_CONFIG": None,
    }


def version() -> Args:
    """``helm version`` as a bare number, e.g. ``v3.20.2``."""
    return ("version", "--template={{.Version}}")


def lint(chart: Path | str, *, values: Values, strict: bool = False) -> Args:
    """``helm lint``; `strict` makes warnings errors."""
    return ("lint", str(chart), *(("--strict",) if strict else ()), *values.flags())


def template(
    release: str,
    chart: Path | str,
    *,
    namespace: str,
    values: Values,
    include_crds: bool = False,
    kube_version: str = "",
    api_versions: Iterable[str] = (),
) -> Args:
    """``helm template``: render without a cluster, for the Kubernetes version `kube_version` when it is given.

    `api_versions` are what templates find in ``.Capabilities.APIVersions`` besides what Helm knows itself.
    """
    return (
        "template",
        release,
        str(chart),
        f"--namespace={namespace}",
        *(("--include-crds",) if include_crds else ()),
        *((f"--kube-version={kube_version}",) if kube_version else ()),
        *(f"--api-versions={version}" for version in api_versions),
        *values.flags(),
    )


def install(
    release: str,
    chart: Path | str,
    *,
    namespace: str,
    values: Values,
    dialect: Dialect,
    timeout_s: float,
    create_namespace: bool = False,
    dry_run: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Args:
    """``helm install``, not waiting for workloads; `timeout_s` limits hooks; `labels` go on Helm's record."""
    return (
        "install",
        release,
        str(chart),
        f"--namespace={namespace}",
        *(("--create-namespace",) if create_namespace else ()),
        *_release_flags(values, timeout_s, labels),
        *(dialect.dry_run(server=True) if dry_run else dialect.no_wait()),
    )


def upgrade(
    release: str,
    chart: Path | str,
    *,
    namespace: str,
    values: Values,
    dialect: Dialect,
    timeout_s: float,
    reuse_values: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Args:
    """``helm upgrade``; `reuse_values` keeps the last revision's values under the new ones."""
    return (
        "upgrade",
        release,
        str(chart),
        f"--namespace={namespace}",
        *(("--reuse-values",) if reuse_values else ()),
        *_release_flags(values, timeout_s, labels),
        *dialect.no_wait(),
    )


def _release_flags(values: Values, timeout_s: float, labels: Mapping[str, str] | None) -> Args:
    labelled = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
    return (
        *values.flags(),
        *((f"--labels={labelled}",) if labelled else ()),
        f"--timeout={timeout_s:g}s",
        "--output=json",
    )


def status(release: str, *, namespace: str) -> Args:
    """``helm status``."""
    return ("status", release, f"--namespace={namespace}", "--output=json")


def list_releases(*, dialect: Dialect, namespace: str = "", all_namespaces: bool = False) -> Args:
    """``helm list`` in any state, failed ones included."""
    where = ("--all-namespaces",) if all_namespaces else (f"--namespace={namespace}",) if namespace else ()
    return ("list", *dialect.in_any_state(), *where, "--output=json")


def history(release: str, *, namespace: str) -> Args:
    """``helm history``."""
    return ("history", release, f"--namespace={namespace}", "--output=json")


def rollback(release: str, revision: int, *, namespace: str, dialect: Dialect, timeout_s: float) -> Args:
    """``helm rollback``; revision 0 is the one before the last."""
    return (
        "rollback",
        release,
        str(revision),
        f"--namespace={namespace}",
        f"--timeout={timeout_s:g}s",
        *dialect.no_wait(),
    )


def uninstall(release: str, *, namespace: str, timeout_s: float) -> Args:
    """``helm uninstall``; nothing to do when the release is not there."""
    return (
        "uninstall",
        release,
        f"--namespace={namespace}",
        "--ignore-not-found",
        # A Deployment counts as gone when its pods are, see harness.commands.kubectl.delete.
        "--cascade=foreground",
        f"--timeout={timeout_s:g}s",
    )


# Where Helm keeps the record of each revision, unless HELM_DRIVER says otherwise; see :func:`environment`.
RECORDS = "secrets"


def record_selector(release: str) -> str:
    """Return the label selector by which Helm finds a release's records (pkg/storage/driver/secrets.go, 3.20 and 4)."""
    return f"owner=helm,name={release},version"


def test(release: str, *, namespace: str, timeout_s: float) -> Args:
    """``helm test``: run the release's test hooks.

    Not ``--logs``: it fails where a test succeeded and its hook's delete policy took the pod away.
    """
    return ("test", release, f"--namespace={namespace}", f"--timeout={timeout_s:g}s")


def parse_failed_tests(stdout: str) -> tuple[str, ...]:
    """Read which test hooks' last phase was not ``Succeeded`` from what ``helm test`` printed."""
    suites = re.findall(r"^TEST SUITE:\s+(\S+)\n(?:Last \w+:.*\n)*Phase:\s+(\w+)", stdout, re.MULTILINE)
    return tuple(name for name, phase in suites if phase != "Succeeded")


def is_hook(document: Mapping[str, Any]) -> bool:
    """Whether Helm runs a document as a hook: its object is deleted and made anew each time."""
    metadata = document.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return isinstance(annotations, Mapping) and "helm.sh/hook" in annotations


# "pre-upgrade hooks failed: ... job NAME failed: BackoffLimitExceeded", "failed pre-install: ..." (seen with 3.20.2),
# "failed pre-install: resource Job/NAMESPACE/NAME not ready. status: Failed" (4.3.1).
_FAILED_HOOK = re.compile(
    r"(?:hooks? failed|failed (?:pre|post)-\w+)\b.*?\b(job|pod)[ /](?:\S+/)?([a-z0-9][a-z0-9.-]*)",
    re.IGNORECASE | re.DOTALL,
)


def parse_failed_hook(stderr: str) -> str:
    """Read which hook's object failed, as ``job/NAME`` or ``pod/NAME``; nothing when it was not a hook."""
    found = _FAILED_HOOK.search(stderr)
    return f"{found[1].lower()}/{found[2]}" if found else ""


def pull(reference: str, *, into: Path, version: str = "", plain_http: bool = False) -> Args:
    """``helm pull``: fetch a packaged chart into a directory; `reference` is ``oci://HOST/REPOSITORY``."""
    return (
        "pull",
        reference,
        f"--destination={into}",
        *((f"--version={version}",) if version else ()),
        *(("--plain-http",) if plain_http else ()),
    )


def push(archive: Path, registry: str, *, plain_http: bool = False) -> Args:
    """``helm push``: put a packaged chart into a registry, e.g. ``oci://HOST/charts``."""
    return ("push", str(archive), registry, *(("--plain-http",) if plain_http else ()))


def package(chart: Path, *, into: Path) -> Args:
    """``helm package``: pack a chart's directory into ``into/NAME-VERSION.tgz``."""
    return ("package", str(chart), f"--destination={into}")


def get_hooks(release: str, *, namespace: str) -> Args:
    """``helm get hooks``: the documents of a release's hooks, as text."""
    return ("get", "hooks", release, f"--namespace={namespace}")


def get_manifest(release: str, *, namespace: str, revision: int = 0) -> Args:
    """``helm get manifest``; revision 0 is the latest."""
    return ("get", "manifest", release, f"--namespace={namespace}", f"--revision={revision}")


def get_notes(release: str, *, namespace: str, revision: int = 0) -> Args:
    """``helm get notes``; revision 0 is the latest."""
    return ("get", "notes", release, f"--namespace={namespace}", f"--revision={revision}")


def get_values(release: str, *, namespace: str, revision: int = 0, all_values: bool = False) -> Args:
    """``helm get values``: what the user gave, or with `all_values` what the templates saw."""
    return (
        "get",
        "values",
        release,
        f"--namespace={namespace}",
        f"--revision={revision}",
        *(("--all",) if all_values else ()),
        "--output=json",
    )


@dataclass(frozen=True)
class ReleaseReport:
    """What ``helm install``, ``upgrade`` and ``status`` say about a release.

    Args:
        name: the release's name.
        namespace: the namespace its record lives in.
        revision: counted from 1.
        status: ``deployed``, ``failed``, ``pending-install``...
        notes: the rendered NOTES.txt.
        manifest: the rendered documents as text, hooks left out.
    """

    name: str
    namespace: str
    revision: int
    status: str
    notes: str
    manifest: str


def parse_release(stdout: str) -> ReleaseReport:
    """Read the JSON of ``helm install``, ``upgrade`` or ``status``."""
    record = json.loads(stdout)
    info = record.get("info", {})
    return ReleaseReport(
        name=record["name"],
        namespace=record.get("namespace", ""),
        revision=int(record.get("version", 1)),
        status=info.get("status", ""),
        notes=info.get("notes", "").strip(),
        manifest=record.get("manifest", ""),
    )


@dataclass(frozen=True)
class ListedRelease:
    """One row of ``helm list``.

    Args:
        name: the release's name.
        namespace: the namespace its record lives in.
        revision: counted from 1.
        status: ``deployed``, ``failed``, ``pending-install``...
        chart: chart and version, e.g. ``helm-ml-score-app-0.1.0``.
    """

    name: str
    namespace: str
    revision: int
    status: str
    chart: str


def parse_list(stdout: str) -> tuple[ListedRelease, ...]:
    """Read the JSON of ``helm list``."""
    return tuple(
        ListedRelease(row["name"], row["namespace"], int(row["revision"]), row["status"], row["chart"])
        for row in json.loads(stdout or "[]")
    )


@dataclass(frozen=True)
class Revision:
    """One row of ``helm history``.

    Args:
        number: the revision, counted from 1.
        status: ``deployed``, ``superseded``, ``failed``...
        description: Helm's own sentence, e.g. ``Rollback to 1``.
    """

    number: int
    status: str
    description: str


def parse_history(stdout: str) -> tuple[Revision, ...]:
    """Read the JSON of ``helm history``, oldest first."""
    return tuple(Revision(int(row["revision"]), row["status"], row["description"]) for row in json.loads(stdout))


def last_good(history: Sequence[Revision]) -> int:
    """Return the last revision before the latest that was in use, 0 when there is none.

    A failed upgrade that was taken back leaves a failed revision behind, and ``helm rollback`` without a number goes to
    the one before the last, failed or not.
    """
    good = [one.number for one in history[:-1] if one.status in ("deployed", "superseded")]
    return good[-1] if good else 0


@dataclass(frozen=True)
class ChartProblem:
    """What Helm found wrong with a chart or its values.

    Args:
        problem: ``missing``, ``malformed``, ``dependency``, ``template`` or ``values``.
        message: Helm's message.
        file: the file it names, relative to the chart's parent; empty when it names none.
        line: 1-based line; 0 when it names none.
    """

    problem: str
    message: str
    file: str = ""
    line: int = 0

    @property
    def hint(self) -> str:
        """What to do about it."""
        return _HINTS[self.problem]


_HINTS = {
    "missing": "give the path of a directory with a Chart.yaml, or of a packaged chart",
    "malformed": "correct Chart.yaml: apiVersion, name and version are required",
    "dependency": "put the charts it depends on into its charts/ directory: helm dependency build",
    "template": "correct the template at that line; `helm template --debug` shows what it renders",
    "values": "correct the values given, or the chart's defaults in values.yaml",
}


# Problem, and how Helm 3.20 words it. The first match wins: values of a wrong type are reported by the template that
# trips over them, and only the wording tells the two apart.
_PROBLEMS = (
    ("missing", re.compile(r'path "(?P<file>[^"]+)" not found')),
    ("missing", re.compile(r"(?P<file>Chart\.yaml) file is missing")),
    ("missing", re.compile(r"non-absolute URLs should be in form of repo_name/path_to_chart, got: (?P<file>\S+)")),
    ("missing", re.compile(r"unable to check Chart\.yaml file in chart: stat (?P<file>[^:]+): no such file")),
    ("dependency", re.compile(r"checking for chart dependencies")),
    (
        "malformed",
        re.compile(r"cannot load (?P<file>Chart\.ya?ml|Chart\.lock|requirements\.ya?ml):(?:.*?line (?P<line>\d+))?"),
    ),
    ("values", re.compile(r"cannot load (?P<file>values\.ya?ml):(?:.*?line (?P<line>\d+))?")),
    ("malformed", re.compile(r"validation: chart\.metadata\.\w+")),
    ("values", re.compile(r"values don't meet the specifications of the schema")),
    ("values", re.compile(r"failed to parse (?P<file>[^:\n]+):(?:.*?line (?P<line>\d+))?")),
    ("values", re.compile(r"failed parsing --set")),
    ("values", re.compile(r"open (?P<file>\S+\.ya?ml): no such file or directory")),
    ("values", re.compile(r"execution error at \((?P<file>[^:)]+):(?P<line>\d+)(?::\d+)?\): (?=.)")),
    (
        "values",
        re.compile(
            r"template: (?P<file>[^:]+):(?P<line>\d+)(?::\d+)?: executing .* can't evaluate field .* in type interface",
            re.DOTALL,
        ),
    ),
    (
        "values",
        re.compile(r"template: (?P<file>[^:]+):(?P<line>\d+)(?::\d+)?: executing .* wrong type for value", re.DOTALL),
    ),
    ("template", re.compile(r"template: (?P<file>[^:]+):(?P<line>\d+)")),
    ("template", re.compile(r"parse error at \((?P<file>[^:)]+):(?P<line>\d+)\)")),
    ("template", re.compile(r"YAML parse error on (?P<file>[^:]+):(?:.*?line (?P<line>\d+))?")),
)


# A frame of a template's failure as Helm 4 words it: where, what was executed, why, each on a line of its own.
_FRAME = re.compile(
    r"(?P<where>[^\s:]+:\d+(?::\d+)?)\n +executing (?P<what>\"[^\n]*\" at <[^\n]*>):\n +(?P<why>[^\n]*)"
)


def _as_helm_3(told: str) -> str:
    """Return what Helm told with failures of templates in the words of Helm 3, each in one line."""
    framed = _FRAME.sub(r"template: \g<where>: executing \g<what>: \g<why>", told)
    return framed.replace(":\ntemplate: ", ": template: ")


def parse_chart_problem(stderr: str) -> ChartProblem | None:
    """Say what is wrong with a chart or its values, or ``None`` when the message is about something else."""
    stderr = _as_helm_3(stderr)
    for problem, pattern in _PROBLEMS:
        if match := pattern.search(stderr):
            found = match.groupdict()
            message = re.sub(r"\n+Use --debug flag to render out invalid YAML", "", stderr).strip()
            return ChartProblem(
                problem, message.removeprefix("Error: "), found.get("file") or "", int(found.get("line") or 0)
            )
    return None


def _joined(stdout: str) -> str:
    """Return the output of ``helm lint`` with each message in one line."""
    return re.sub(r"\n(?!\[|==>|\n|\d+ chart)\s*", " ", _as_helm_3(stdout))


def parse_lint(stdout: str) -> tuple[str, ...]:
    """The ``[ERROR]`` and ``[WARNING]`` messages of ``helm lint``, continuation lines joined."""
    joined = _joined(stdout)
    return tuple(re.findall(r"^\[(?:ERROR|WARNING)\] (.+)$", joined, re.MULTILINE))


@dataclass(frozen=True)
class LintMessage:
    """One warning or error of ``helm lint``.

    Args:
        is_error: whether it is an error.
        text: the message without its path.
        path: what it is about, relative to the chart: ``Chart.yaml``, ``templates/``, ``templates/x.yaml``...
    """

    is_error: bool
    text: str
    path: str = ""


def parse_lint_messages(stdout: str) -> tuple[LintMessage, ...]:
    """Read the warnings and errors of ``helm lint``."""
    joined = _joined(stdout)
    found = re.findall(r"^\[(ERROR|WARNING)\] (?:([\w./-]+): )?(.+)$", joined, re.MULTILINE)
    return tuple(LintMessage(level == "ERROR", text, path) for level, path, text in found)
