"""Helm's arguments and output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.commands import helm
from harness.commands.helm import ChartProblem, Dialect, Values

NONE = Values()
CHART = Path("charts/app")


@pytest.mark.parametrize(
    ("args", "typed"),
    [
        pytest.param(
            helm.install("r", CHART, namespace="n", values=NONE, dialect=Dialect(3), timeout_s=60),
            "install r charts/app --namespace=n --timeout=60s --output=json",
            id="install",
        ),
        pytest.param(
            helm.install("r", CHART, namespace="n", values=NONE, dialect=Dialect(4), timeout_s=60),
            "install r charts/app --namespace=n --timeout=60s --output=json --wait=hookOnly",
            id="install with Helm 4",
        ),
        pytest.param(
            helm.install(
                "r",
                CHART,
                namespace="n",
                values=NONE,
                dialect=Dialect(),
                timeout_s=60,
                create_namespace=True,
                dry_run=True,
                labels={"seatrial.dev/run": "1f2e", "a": "b"},
            ),
            "install r charts/app --namespace=n --create-namespace --labels=seatrial.dev/run=1f2e,a=b --timeout=60s "
            "--output=json --dry-run=server",
            id="dry run, labelled",
        ),
        pytest.param(
            helm.upgrade("r", CHART, namespace="n", values=NONE, dialect=Dialect(), timeout_s=1.5, reuse_values=True),
            "upgrade r charts/app --namespace=n --reuse-values --timeout=1.5s --output=json",
            id="upgrade",
        ),
        pytest.param(
            helm.rollback("r", 2, namespace="n", dialect=Dialect(), timeout_s=60),
            "rollback r 2 --namespace=n --timeout=60s",
            id="rollback",
        ),
        pytest.param(
            helm.uninstall("r", namespace="n", timeout_s=60),
            "uninstall r --namespace=n --ignore-not-found --cascade=foreground --timeout=60s",
            id="uninstall",
        ),
        pytest.param(helm.lint(CHART, values=NONE, strict=True), "lint charts/app --strict", id="lint"),
        pytest.param(
            helm.template("r", CHART, namespace="n", values=NONE), "template r charts/app --namespace=n", id="template"
        ),
        pytest.param(
            helm.template("r", CHART, namespace="n", values=NONE, include_crds=True, kube_version="1.34"),
            "template r charts/app --namespace=n --include-crds --kube-version=1.34",
            id="template for a version",
        ),
        pytest.param(helm.list_releases(dialect=Dialect(3)), "list --all --output=json", id="list"),
        pytest.param(helm.list_releases(dialect=Dialect(4)), "list --output=json", id="list with Helm 4"),
        pytest.param(
            helm.list_releases(dialect=Dialect(3), namespace="n", all_namespaces=True),
            "list --all --all-namespaces --output=json",
            id="all",
        ),
        pytest.param(
            helm.get_values("r", namespace="n", all_values=True),
            "get values r --namespace=n --revision=0 --all --output=json",
            id="get values",
        ),
    ],
)
def test_arguments_are_those_a_person_would_type(args: tuple[str, ...], typed: str) -> None:
    """Each builder gives exactly these arguments in this order."""
    assert " ".join(args) == typed


def test_values_go_by_file_stdin_and_flag_in_the_order_helm_merges_them() -> None:
    """The mapping never touches the disk: it is JSON on standard input."""
    values = Values(
        files=(Path("a.yaml"),), inline={"app": {"replicas": 2}}, overrides={"x": True, "y": "a,b"}, strings={"z": "1"}
    )
    assert values.flags() == ("--values=a.yaml", "--values=-", "--set=x=true", r"--set=y=a\,b", "--set-string=z=1")
    assert json.loads(values.stdin() or "") == {"app": {"replicas": 2}}
    assert (NONE.flags(), NONE.stdin()) == ((), None)


@pytest.mark.parametrize(("text", "major"), [("v3.20.2", 3), ("v3.20", 3), ("4.0.1\n", 4)])
def test_the_dialect_follows_the_version(text: str, major: int) -> None:
    """With or without the v, with or without a patch."""
    assert Dialect.from_version(text) == Dialect(major)


def test_a_version_that_is_none_is_refused() -> None:
    """Rather than guessed."""
    with pytest.raises(ValueError, match="not a Helm version"):
        Dialect.from_version("latest")


HINT = "\n\nUse --debug flag to render out invalid YAML"


@pytest.mark.parametrize(
    ("stderr", "problem", "file", "line"),
    [
        pytest.param('Error: path "./nope" not found', "missing", "./nope", 0, id="no such path"),
        pytest.param("Error: Chart.yaml file is missing", "missing", "Chart.yaml", 0, id="no Chart.yaml"),
        pytest.param(
            "Error: non-absolute URLs should be in form of repo_name/path_to_chart, got: nope",
            "missing",
            "nope",
            0,
            id="a bare name",
        ),
        pytest.param(
            "Error: INSTALLATION FAILED: cannot load Chart.yaml: error converting YAML to JSON: yaml: line 1: did not",
            "malformed",
            "Chart.yaml",
            1,
            id="Chart.yaml is no YAML",
        ),
        pytest.param(
            "Error: validation: chart.metadata.version is required", "malformed", "", 0, id="Chart.yaml without version"
        ),
        pytest.param(
            'Error: template: ok/templates/d.yaml:7:15: executing "ok/templates/d.yaml" at <.Values.nope.deep>: nil '
            "pointer evaluating interface {}.deep" + HINT,
            "template",
            "ok/templates/d.yaml",
            7,
            id="a value of a value that is not there",
        ),
        pytest.param(
            'Error: parse error at (ok/templates/d.yaml:7): function "nofn" not defined' + HINT,
            "template",
            "ok/templates/d.yaml",
            7,
            id="no such function",
        ),
        pytest.param(
            "Error: YAML parse error on ok/templates/d.yaml: error converting YAML to JSON: yaml: line 7: found" + HINT,
            "template",
            "ok/templates/d.yaml",
            7,
            id="rendered to no YAML",
        ),
        pytest.param(
            "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nok:\n- at "
            "'/replicas': got string, want integer\n",
            "values",
            "",
            0,
            id="against the schema",
        ),
        pytest.param(
            'Error: template: ok/templates/d.yaml:4:18: executing "ok/templates/d.yaml" at <.Values.app.name>: can\'t '
            "evaluate field name in type interface {}" + HINT,
            "values",
            "ok/templates/d.yaml",
            4,
            id="a text where a mapping is wanted",
        ),
        pytest.param(
            "Error: execution error at (ok/templates/d.yaml:7:8): app.image is required" + HINT,
            "values",
            "ok/templates/d.yaml",
            7,
            id="a required value",
        ),
        pytest.param(
            "Error: open nofile.yaml: no such file or directory", "values", "nofile.yaml", 0, id="no such file"
        ),
        pytest.param(
            "Error: failed to parse v.yaml: error converting YAML to JSON: yaml: line 3: did not find",
            "values",
            "v.yaml",
            3,
            id="values that are no YAML",
        ),
        pytest.param('Error: failed parsing --set data: key "name" has no value', "values", "", 0, id="a bad --set"),
        pytest.param(
            "Error: An error occurred while checking for chart dependencies. You may need to run helm",
            "dependency",
            "",
            0,
            id="a missing dependency",
        ),
    ],
)
def test_what_is_wrong_with_a_chart_is_told_with_its_place(stderr: str, problem: str, file: str, line: int) -> None:
    """As Helm 3.20 words it; Helm's hint about --debug is left out."""
    found = helm.parse_chart_problem(stderr)
    assert found is not None
    assert (found.problem, found.file, found.line) == (problem, file, line)
    assert "--debug" not in found.message


FRAMES = (
    ("c/templates/x.yaml:5:8", '"c/templates/x.yaml" at <include "h" .>', "error calling include:"),
    ("c/templates/_h.tpl:2:10", '"h" at <.Values.b.port>', "nil pointer evaluating interface {}.port"),
)
OLD_WORDS = " ".join(f"template: {where}: executing {what}: {why}" for where, what, why in FRAMES)
NEW_WORDS = "\n".join(f"{where}\n  executing {what}:\n    {why}" for where, what, why in FRAMES)


@pytest.mark.parametrize(
    ("stderr", "hook"),
    [
        (
            "Error: UPGRADE FAILED: pre-upgrade hooks failed: 1 error occurred:\n"
            "\t* job score-migration failed: BackoffLimitExceeded",
            "job/score-migration",
        ),
        (
            "Error: INSTALLATION FAILED: failed pre-install: resource Job/demo/migration not ready. status: Failed, "
            "message: Job Failed. failed: 1/1",
            "job/migration",
        ),
        ("Error: INSTALLATION FAILED: failed post-install: 1 error occurred:\n\t* timed out waiting", ""),
        ('Error: UPGRADE FAILED: cannot patch "job" with kind Job: failed', ""),
    ],
    ids=["Helm 3", "Helm 4", "something that took too long", "no hook"],
)
def test_the_hook_that_failed_is_read(stderr: str, hook: str) -> None:
    """So that its log can be asked for."""
    assert helm.parse_failed_hook(stderr) == hook


def test_both_versions_tell_a_failing_template_the_same() -> None:
    """Helm 4 spreads each frame over three lines; what is read from it does not differ."""
    old, new = (helm.parse_chart_problem(f"Error: {words}{HINT}") for words in (OLD_WORDS, NEW_WORDS))
    assert old is not None
    assert new == old
    assert (old.problem, old.file, old.line) == ("template", "c/templates/x.yaml", 5)


def test_lint_of_both_versions_tells_a_failing_template_the_same() -> None:
    """One message in one line."""
    told = [
        helm.parse_lint_messages(f"==> Linting n\n[ERROR] templates/: {words}\n\nError: 1 chart(s) linted\n")
        for words in (OLD_WORDS, NEW_WORDS)
    ]
    assert told[0] == told[1]
    assert [message.text for message in told[0]] == [OLD_WORDS]


@pytest.mark.parametrize(
    "stderr",
    [
        'Error: INSTALLATION FAILED: Service "refused" is invalid: spec.ports[0].port: Invalid value: 700000',
        "Error: Kubernetes cluster unreachable: connection refused",
    ],
)
def test_what_the_cluster_refuses_is_no_chart_problem(stderr: str) -> None:
    """The two have different authors."""
    assert helm.parse_chart_problem(stderr) is None


def test_a_problem_knows_no_place_by_default() -> None:
    """Empty file, line 0."""
    assert ChartProblem("values", "m") == ChartProblem("values", "m", "", 0)


def test_lint_messages_are_joined_over_their_lines() -> None:
    """Errors and warnings, not information."""
    stdout = (
        "==> Linting bad\n[INFO] Chart.yaml: icon is recommended\n[ERROR] Chart.yaml: unable to parse YAML\n"
        "\terror converting YAML\n[WARNING] x: y\n\n1 chart(s) linted, 1 chart(s) failed\n"
    )
    assert helm.parse_lint(stdout) == ("Chart.yaml: unable to parse YAML error converting YAML", "x: y")


def test_releases_lists_and_histories_are_read_from_json() -> None:
    """The fields that matter, with Helm's own names for states."""
    release = {
        "name": "r",
        "namespace": "n",
        "version": 2,
        "info": {"status": "deployed", "notes": "hello\n"},
        "manifest": "---\n",
    }
    report = helm.parse_release(json.dumps(release))
    assert (report.name, report.namespace, report.revision, report.status, report.notes) == (
        "r",
        "n",
        2,
        "deployed",
        "hello",
    )
    row = {"name": "r", "namespace": "n", "revision": "2", "status": "failed", "chart": "app-0.1.0"}
    assert helm.parse_list(json.dumps([row]))[0].revision == 2
    assert helm.parse_list("") == ()
    step = {"revision": 1, "status": "superseded", "description": "Install complete"}
    assert helm.parse_history(json.dumps([step]))[0].description == "Install complete"


def test_lint_messages_name_what_they_are_about() -> None:
    """Level, path and text are told apart; information is left out."""
    stdout = """==> Linting app
[INFO] Chart.yaml: icon is recommended
[WARNING] templates/a.yaml: old style
[ERROR] templates/: template: app/templates/b.yaml:6:19: broken
[ERROR] no path at all

1 chart(s) linted, 1 chart(s) failed
"""
    assert helm.parse_lint_messages(stdout) == (
        helm.LintMessage(False, "old style", "templates/a.yaml"),
        helm.LintMessage(True, "template: app/templates/b.yaml:6:19: broken", "templates/"),
        helm.LintMessage(True, "no path at all"),
    )


def test_helm_keeps_its_files_apart_from_the_user_s(tmp_path: Path) -> None:
    """Files go below the given directory, and what the shell says of clusters and plugins is taken out."""
    environment = helm.environment(tmp_path)
    assert environment["HELM_CACHE_HOME"] == str(tmp_path / "cache")
    assert environment["HELM_PLUGINS"] is None
    assert environment["HELM_KUBETOKEN"] is None


def test_argv_of_tests_and_registries() -> None:
    """As the shell would see them; a registry without TLS needs to be told of."""
    assert helm.test("app", namespace="n", timeout_s=90) == ("test", "app", "--namespace=n", "--timeout=90s")
    assert helm.get_hooks("app", namespace="n") == ("get", "hooks", "app", "--namespace=n")
    assert helm.package(Path("c"), into=Path("d")) == ("package", "c", "--destination=d")
    assert helm.push(Path("c.tgz"), "oci://r/x") == ("push", "c.tgz", "oci://r/x")
    assert helm.pull("oci://r/x/c", into=Path("d"), version="1.0.0", plain_http=True) == (
        "pull",
        "oci://r/x/c",
        "--destination=d",
        "--version=1.0.0",
        "--plain-http",
    )


def test_failed_tests_are_told_from_those_that_succeeded() -> None:
    """As Helm 3.20 prints them; one that never ran has no times."""
    stdout = """NAME: app
STATUS: deployed
TEST SUITE:     app-test-good
Last Started:   Mon Nov 23 16:54:44 2026
Last Completed: Mon Nov 23 16:54:46 2026
Phase:          Succeeded
TEST SUITE:     app-test-bad
Last Started:   Mon Nov 23 16:54:46 2026
Last Completed: Mon Nov 23 16:54:48 2026
Phase:          Failed
NOTES:
Phase: nothing
"""
    assert helm.parse_failed_tests(stdout) == ("app-test-bad",)


@pytest.mark.parametrize(
    ("statuses", "number"),
    [
        pytest.param(("superseded", "deployed"), 1, id="upgraded"),
        pytest.param(("superseded", "superseded", "deployed"), 2, id="upgraded twice"),
        pytest.param(("superseded", "failed", "deployed"), 1, id="an upgrade was taken back"),
        pytest.param(("deployed", "failed"), 1, id="an upgrade failed and stayed"),
        pytest.param(("deployed",), 0, id="installed"),
        pytest.param(("failed", "deployed"), 0, id="nothing good before"),
    ],
)
def test_what_is_rolled_back_to_did_not_fail(statuses: tuple[str, ...], number: int) -> None:
    """The last good revision before the latest."""
    history = [helm.Revision(place, status, "") for place, status in enumerate(statuses, 1)]
    assert helm.last_good(history) == number
