"""A case's way step by step: Helm and kubectl from a script, the API server a small one on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.access.endpoint import Endpoint
from harness.charts.case import Answer, ChartCase, Origin, Step, Traffic
from harness.charts.voyage import Voyage
from harness.cluster.provider import ClusterHandle
from harness.deploy.helm import HelmDeployer
from harness.deploy.manifests import Manifest
from harness.errors import ChartTestError, DeployError, LeftoverError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.settings.model import DeploySettings
from harness.testing import RecordingRunner

NAMESPACE = "fresh"
SETTINGS = DeploySettings(rollout_timeout_s=2, helm_timeout_s=5)
RESOURCES = {"kind": "ConfigMap", "name": "configmaps", "namespaced": True, "verbs": ["list"]}
RBAC = {"groupVersion": "rbac.authorization.k8s.io/v1"}
CLUSTER_WIDE = {"kind": "ClusterRole", "name": "clusterroles", "namespaced": False, "verbs": ["list"]}


@dataclass
class World:
    """A cluster of ConfigMaps and ClusterRoles, and the Helm that fills it.

    Args:
        there: the objects, by kind and name.
        forgotten: names of ConfigMaps that uninstalling leaves.
        stranger: a ClusterRole that somebody else makes meanwhile.
        failing: a step's verb that Helm fails at.
        documents: what the chart renders to.
    """

    there: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()
    stranger: bool = False
    failing: str = ""
    revision: int = 0
    told: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    documents: str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"

    def helm(self, command: Command) -> Outcome:
        """Answer a helm command."""
        verb = command.argv[1]
        self.told.append(verb)
        self.served += [word.partition("=")[2] for word in command.argv if word.startswith("--api-versions=")]
        if verb == self.failing:
            return Outcome(
                command,
                1,
                "TEST SUITE:     x\nLast Started:   1\nPhase:          Failed\n",
                "Error: it broke",
                duration_s=0,
            )
        answer = ""
        if verb in ("install", "upgrade", "rollback"):
            self.values.append(json.loads(command.stdin or "{}"))
            self.revision += 1
            for name in ("settings", *self.forgotten):
                self._put("ConfigMap", name)
            if self.stranger:
                self._put("ClusterRole", "stranger")
        if verb == "uninstall":
            for key in [key for key in self.there if key[0] == "ConfigMap" and key[1] not in self.forgotten]:
                del self.there[key]
        manifest = self.documents
        if verb in ("install", "upgrade", "status"):
            answer = json.dumps(
                {"name": "app", "namespace": NAMESPACE, "version": self.revision, "info": {}, "manifest": manifest}
            )
        elif verb == "history":
            answer = json.dumps([{"revision": self.revision, "status": "deployed", "description": ""}])
        elif verb == "template" or command.argv[1:3] == ("get", "manifest"):
            answer = manifest
        return Outcome(command, 0, answer, "", duration_s=0)

    def kubectl(self, command: Command) -> Outcome:
        """Delete what is asked for."""
        for item in json.loads(command.stdin or "{}")["items"]:
            self.told.append(f"delete {item['kind']}/{item['metadata']['name']}")
            self.there.pop((item["kind"], item["metadata"]["name"]), None)
        return Outcome(command, 0, "", "", duration_s=0)

    def answer(self, path: str) -> tuple[int, Any]:
        """Answer the API server's clients."""
        fixed: dict[str, Any] = {
            "/apis": {"groups": [{"preferredVersion": RBAC, "versions": [RBAC]}]},
            "/api/v1": {"resources": [RESOURCES]},
            "/apis/rbac.authorization.k8s.io/v1": {"resources": [CLUSTER_WIDE]},
            f"/api/v1/namespaces/{NAMESPACE}/configmaps": self._items("ConfigMap"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles": self._items("ClusterRole"),
        }
        named = {f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}": body for (_, name), body in self.there.items()}
        fixed |= named
        return (200, fixed[path]) if path in fixed else (404, {"message": "not found"})

    def _items(self, kind: str) -> dict[str, Any]:
        return {"items": [body for (one, _), body in self.there.items() if one == kind]}

    def _put(self, kind: str, name: str) -> None:
        metadata = {"name": name, "uid": f"{kind}-{name}"}
        if kind == "ConfigMap":
            metadata["namespace"] = NAMESPACE
        self.there[kind, name] = {"metadata": metadata}


@pytest.fixture
def world() -> World:
    """An empty cluster."""
    return World()


@pytest.fixture
def handle(world: World, tmp_path: Path) -> Iterator[ClusterHandle]:
    """The way to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = world.answer(self.path.partition("?")[0])
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Keep the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{listening.server_address[1]}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig), encoding="utf-8")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield ClusterHandle(
            "demo", "kind", tmp_path / "kubeconfig", "x", Path("/bin/kubectl"), nodes=("demo-control-plane",)
        )
        listening.shutdown()
        thread.join()


class Charts:
    """Both versions of the chart."""

    def current(self, case: ChartCase) -> Path:
        """Today's."""
        return case.chart

    def earlier(self, case: ChartCase) -> Path:
        """The one before."""
        return Path("/charts/earlier")

    def definitions(self, case: ChartCase) -> Sequence[str]:
        """None."""
        return ()


class Quay:
    """Notes what is asked for."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    @contextmanager
    def fresh_namespace(self, name: str) -> Iterator[str]:
        """Have one."""
        yield NAMESPACE
        self.told.append("namespace gone")

    fixed_namespace = turn_with_namespace = fresh_namespace

    def expect_load_balancers(self) -> None:
        """Nobody asks."""
        raise AssertionError("there is no load balancer among the documents")

    def reach(self, answer: Answer, namespace: str) -> Any:
        """Reach it."""
        return nullcontext(Endpoint(f"http://{answer.service}.{namespace}"))

    def ask(self, endpoint: Endpoint, answer: Answer) -> None:
        """Ask."""
        self.told.append(f"ask {endpoint.url}")

    @contextmanager
    def under_traffic(self, endpoint: Endpoint, answer: Answer, traffic: Traffic, name: str) -> Iterator[Any]:
        """Have traffic."""
        told = self.told

        class Running:
            @contextmanager
            def phase(self, name: str) -> Iterator[None]:
                told.append(f"[{name}")
                yield
                told.append("]")

        told.append("traffic begins")
        yield Running()
        told.append("traffic ends")

    def step(self, what: str) -> Any:
        """Not recorded."""
        return nullcontext()


@pytest.fixture
def voyage(world: World, handle: ClusterHandle, tmp_path: Path) -> Voyage:
    """All of it together."""
    runner = RecordingRunner()
    runner.on("helm", answer=world.helm)
    runner.on("kubectl", "delete", answer=world.kubectl)
    runner.on("kubectl", "logs", "pod/x", stdout="the log")
    helm = HelmDeployer(handle, runner, SETTINGS, helm=Path("/bin/helm"), home=tmp_path)
    return Voyage(handle, helm, runner, Charts(), Quay(world.told), lambda manifest, namespace: None, SETTINGS)


def case(*steps: Step, **more: Any) -> ChartCase:
    """Return a case of these steps."""
    return ChartCase(Path("/charts/app"), "x", steps=steps, **more)


ANSWER = Answer("app", path="/score")


def test_the_usual_way_with_an_earlier_version(voyage: Voyage, world: World) -> None:
    """Each step follows the one before; scores are asked for; nothing is left and the namespace goes."""
    log = voyage.run(ChartCase(Path("/charts/app"), "x", previous=Origin(git="v1"), answers=(ANSWER,)))
    assert [one.revision for one in log.steps] == [1, 1, 2, 2, 2, 3, 3, 0]
    verbs = [word for word in world.told if word in ("install", "upgrade", "rollback", "test", "uninstall")]
    assert verbs == ["install", "upgrade", "test", "rollback", "uninstall"]
    assert world.told.count("ask http://app.fresh") == 3
    assert world.told[-1] == "namespace gone"
    assert str(log).splitlines()[1].endswith("install the earlier version")


def test_the_cluster_says_what_it_serves_before_the_api_server_judges(voyage: Voyage, world: World) -> None:
    """A template that asks for a kind renders for the trial what it will render for the installation."""
    voyage.run(case(Step("install"), Step("uninstall")))
    rbac = "rbac.authorization.k8s.io/v1"
    assert world.served == ["v1", rbac, "v1/ConfigMap", f"{rbac}/ClusterRole"]


def test_a_hook_that_is_there_is_not_tried(voyage: Voyage, world: World) -> None:
    """Helm deletes it first; which document it is does not depend on what else there is, nor in which order."""
    world.documents = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, annotations: {helm.sh/hook: pre-upgrade}}\n"
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: later}\n"
    )
    tried: list[list[str]] = []

    def judge(manifest: Manifest, namespace: str) -> None:
        assert namespace == NAMESPACE
        tried.append([item.kind for item in manifest.documents])

    replace(voyage, judge=judge).run(case(Step("install"), Step("upgrade"), Step("uninstall")))
    assert tried == [["Namespace", "ConfigMap"], ["Namespace"]]


def test_each_step_renders_with_its_own_values(voyage: Voyage, world: World) -> None:
    """The case's values under those of the step."""
    voyage.run(case(Step("install"), Step("upgrade", set={"a": 2}), Step("uninstall"), set={"a": 1, "b": 1}))
    assert world.values == [{"a": 1, "b": 1}, {"a": 2, "b": 1}]


def test_traffic_runs_from_the_first_score_until_uninstall(voyage: Voyage, world: World) -> None:
    """Each step in between is a phase of it."""
    steps = (Step("install"), Step("score"), Step("upgrade"), Step("score"), Step("uninstall"))
    voyage.run(case(*steps, answers=(ANSWER,), traffic=Traffic()))
    told = [word for word in world.told if word[0] in "[]t" and word not in ("template", "test")]
    assert told == ["traffic begins", "[upgrade", "]", "[score", "]", "traffic ends"]


def test_what_is_left_fails_the_case_and_is_removed(voyage: Voyage, world: World) -> None:
    """By name, with what it might be."""
    world.forgotten = ("forgotten",)
    with pytest.raises(LeftoverError, match="ConfigMap/forgotten in namespace 'fresh'") as caught:
        voyage.run(case(Step("install"), Step("uninstall")))
    assert caught.value.left == ("ConfigMap/forgotten",)
    assert world.there == {}


def test_what_is_allowed_to_be_left_is_removed_too(voyage: Voyage, world: World) -> None:
    """The case passes and says what it was."""
    world.forgotten = ("kept-data",)
    log = voyage.run(case(Step("install"), Step("uninstall"), leaves=("ConfigMap/kept-*",)))
    assert log.left == ("ConfigMap/kept-data",)
    assert "delete ConfigMap/kept-data" in world.told
    assert world.there == {}


def test_what_others_make_meanwhile_is_theirs(voyage: Voyage, world: World) -> None:
    """An object of no namespace that no document named is neither complained of nor removed."""
    world.stranger = True
    voyage.run(case(Step("install"), Step("uninstall")))
    assert list(world.there) == [("ClusterRole", "stranger")]


def test_a_case_that_ends_installed_is_uninstalled(voyage: Voyage, world: World) -> None:
    """The last step need not be `uninstall`."""
    voyage.run(case(Step("install"), Step("score")))
    assert world.told.count("uninstall") == 1
    assert world.there == {}


def test_a_failing_step_ends_the_case_and_what_was_made_goes(voyage: Voyage, world: World) -> None:
    """The steps after it are not taken."""
    world.failing = "test"
    with pytest.raises(ChartTestError, match="the log"):
        voyage.run(case(Step("install"), Step("test"), Step("upgrade")))
    assert "upgrade" not in world.told
    assert world.there == {}


def test_a_step_that_must_fail_has_to_fail_with_the_right_words(voyage: Voyage, world: World) -> None:
    """Its error is kept in the log; another error is raised, and so is success."""
    world.failing = "test"
    log = voyage.run(case(Step("install"), Step("test", fails="it br.ke"), Step("uninstall")))
    assert "it broke" in log.steps[1].told
    with pytest.raises(ChartTestError):
        voyage.run(case(Step("install"), Step("test", fails="something else")))
    world.failing = ""
    with pytest.raises(DeployError, match="it succeeded"):
        voyage.run(case(Step("install"), Step("test", fails="it broke")))


def test_a_node_is_drained_only_where_pods_have_somewhere_to_go(voyage: Voyage, world: World) -> None:
    """One node is refused with what to do; so is a cluster that is not Seatrial's."""
    with pytest.raises(DeployError, match="pods have nowhere to go"):
        voyage.run(case(Step("install"), Step("drain")))
