"""What a failed test leaves for the person who has to find out why, by a real run in a cluster that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cluster.provider import ClusterHandle
from tests.integration.child_run import ChildProject, ChildRun

DOCUMENT = Path(harness.__file__).parents[1] / "docs" / "evidence.md"
# Preloaded in the node image, with busybox in it.
BUSYBOX = "seatrial/local-path-provisioner:v0.0.30"
TOKEN = "t0p-s3cret-t0ken"
# What a service prints before it ends; a header is masked by its shape.
SAYS = f"echo ahoy; echo 'Authorization: Bearer {TOKEN}'; exit 3"
DEPLOYMENT = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: crashing}}
spec:
  selector: {{matchLabels: {{app: crashing}}}}
  template:
    metadata: {{labels: {{app: crashing}}}}
    spec:
      # Never ready: without a probe a container counts as rolled out for as long as its shell takes to end.
      containers:
        - name: main
          image: "{BUSYBOX}"
          command: [sh, -c, {SAYS!r}]
          readinessProbe: {{exec: {{command: [test, -f, /never]}}}}
"""
# Ends once, and then goes on.
TWO_LIVES = (
    "if [ -f /data/once ]; then echo second life; touch /data/ready; exec sleep 600; fi; "
    f"touch /data/once; echo first life; echo 'Authorization: Bearer {TOKEN}'; exit 3"
)
RESTARTED = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: restarted}}
spec:
  selector: {{matchLabels: {{app: restarted}}}}
  template:
    metadata: {{labels: {{app: restarted}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: main
          image: "{BUSYBOX}"
          command: [sh, -c, "{TWO_LIVES}"]
          readinessProbe: {{exec: {{command: [test, -f, /data/ready]}}, periodSeconds: 1}}
          volumeMounts: [{{name: data, mountPath: /data}}]
      volumes: [{{name: data, emptyDir: {{}}}}]
"""
FILES = {
    "app/app.yaml": RESTARTED,
    "app/secret.yaml": f"apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\nstringData: {{key: {TOKEN}}}\n",
    "chart/Chart.yaml": "apiVersion: v2\nname: crashing\nversion: 1.0.0\n",
    "chart/templates/deployment.yaml": DEPLOYMENT,
    "test_it.py": """
        from pathlib import Path

        def test_manifests(manifests, namespace):
            manifests.apply(Path("app"), namespace=namespace)
            raise AssertionError("the score was wrong")

        def test_helm(helm, namespace):
            helm.install("crashing", Path("chart").absolute(), namespace=namespace)
    """,
}


@pytest.fixture(scope="module")
def failed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChildRun:
    """A run with two failures: a service that ended once and answers wrongly, and a chart whose pods crash."""
    seatrial, cluster = request.getfixturevalue("seatrial"), request.getfixturevalue("cluster")
    assert isinstance(cluster, ClusterHandle)
    child = ChildProject(
        tmp_path_factory.mktemp("evidence"),
        seatrial.engine,
        seatrial.settings.supply.cache_dir / "artifacts",
        (
            "--cluster-provider=existing",
            f"--kubeconfig={cluster.kubeconfig}",
            f"--kube-context={cluster.context}",
        ),
    )
    seatrial.supply.program("helm")
    child.write(FILES)
    run = child.run()
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED, run.output
    assert child.traces(cluster) == []
    return run


def failure_of(run: ChildRun, test: str) -> dict[str, Any]:
    """Return what run.json says of a failed test."""
    (failure,) = (one for one in run.record()["failures"] if one["test"].endswith(f"::{test}"))
    assert isinstance(failure, dict)
    return failure


def file_of(run: ChildRun, failure: dict[str, Any], pattern: str) -> str:
    """Return the text of the only file of a failure whose path matches."""
    (name,) = (name for name in failure["files"] if re.fullmatch(pattern, name))
    return (run.evidence / name).read_text(encoding="utf-8")


def test_the_account_is_as_documented(failed: ChildRun) -> None:
    """run.json has the keys that docs/evidence.md describes, and no others."""
    tables = [
        [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
        for table in re.findall(r"(?:^\|.*\n)+", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    record = failed.record()
    assert set(record) == set(tables[1])
    assert record["steps"]
    assert all(set(step) == set(tables[2]) for step in record["steps"])
    assert all(set(failure) == {"test", "when", "message", "files"} for failure in record["failures"])
    assert record["schema"] == 1
    assert record["settings"]["cluster-provider"] == {"value": "existing", "origin": "command line"}


def test_programs_are_named_with_their_origin(failed: ChildRun) -> None:
    """Which kubectl and helm took part, whence they came, and their digests."""
    artifacts = {one["name"]: one for one in failed.record()["artifacts"]}
    assert {"kubectl", "helm"} <= set(artifacts)
    for one in artifacts.values():
        assert one["version"]
        assert one["source"] in {"given", "path", "cache", "download", "build"}
        assert one["digest"]


def test_what_the_cluster_said(failed: ChildRun) -> None:
    """Events, pods, both lives' logs and what was sent."""
    failure = failure_of(failed, "test_manifests")
    assert "the score was wrong" in failure["message"]
    assert "Started" in file_of(failed, failure, r"failures/.*/events.txt")
    assert "Exit Code:    3" in file_of(failed, failure, r"failures/.*/pods.txt")
    assert "second life" in file_of(failed, failure, r"failures/.*/logs/restarted-[^/]*\.main\.log")
    assert "first life" in file_of(failed, failure, r"failures/.*/logs/restarted-[^/]*\.main\.previous\.log")
    sent = file_of(failed, failure, r"failures/.*/restarted\.manifests\.yaml")
    assert {"kind: Deployment", "kind: Secret"} <= set(sent.splitlines())


def test_what_a_release_was_like_that_is_gone(failed: ChildRun) -> None:
    """Helm's failed release is uninstalled at once; its pods and logs were seen before that."""
    failure = failure_of(failed, "test_helm")
    assert "CrashLoopBackOff" in failure["message"]
    assert "BackOff" in file_of(failed, failure, r"withdrawn/.*/events.txt")
    assert "Exit Code:    3" in file_of(failed, failure, r"withdrawn/.*/pods.txt")
    assert "ahoy" in file_of(failed, failure, r"withdrawn/.*/logs/crashing-[^/]*\.main\.log")
    assert "kind: Deployment" in file_of(failed, failure, r"withdrawn/.*/crashing\.helm\.yaml")


def test_secrets_are_masked_everywhere(failed: ChildRun) -> None:
    """Neither the value of a Secret nor a token in a log is in any file of the evidence."""
    texts = {path: path.read_text(encoding="utf-8") for path in failed.evidence.rglob("*") if path.is_file()}
    (sent,) = (text for text in texts.values() if "kind: Secret" in text)
    assert "key: '****'" in sent
    (log,) = (text for text in texts.values() if text.startswith("first life"))
    assert "Bearer ****" in log
    # Where a command holds one as a plain text, nothing says that it is a secret: tests declare those.
    logs_and_secrets = [path for path, text in texts.items() if TOKEN in text and "logs" in path.parts]
    assert logs_and_secrets == []


def test_the_report_points_at_it(failed: ChildRun) -> None:
    """The terminal shows where to look."""
    assert failed.output.count("seatrial evidence") == 2
    assert str(failed.evidence / "failures") in failed.output
