"""What Seatrial's own charts ask of a cluster: no more rights than these, no container that could take more."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from harness.assembly import Assembly
from harness.process.command import Command
from harness.process.runner import SubprocessRunner
from harness.supply.recipe import RECIPES

Body = Mapping[str, Any]
Render = Callable[..., Sequence[Body]]

# Names of Deployment and container.
CONTAINERS = {
    "seldon-core-operator": {"seldon-controller-manager/manager"},
    "ambassador": {"contour/contour", "ambassador/bootstrap", "ambassador/envoy", "ambassador-routes/routes"},
}
# Of each role: group and kind, and what may be done with it; a name in brackets limits it to one object.
RULES = {
    "seldon-core-operator": {
        "ClusterRole seldon-manager-role-seldon-core": """
            apps/deployments: get list watch create update delete
            autoscaling/horizontalpodautoscalers: get list watch create update delete
            core/events: create patch
            core/namespaces: get list watch
            core/services: get list watch create update delete
            machinelearning.seldon.io/seldondeployments/finalizers: update
            machinelearning.seldon.io/seldondeployments/status: update
            machinelearning.seldon.io/seldondeployments: get list watch
            policy/poddisruptionbudgets: get list watch create update delete
        """,
        "Role seldon-leader-election-role": """
            coordination.k8s.io/configmaps: create
            coordination.k8s.io/configmaps['a33bd623.machinelearning.seldon.io']: get update
            coordination.k8s.io/leases: create
            coordination.k8s.io/leases['a33bd623.machinelearning.seldon.io']: get update
            core/configmaps: create
            core/configmaps['a33bd623.machinelearning.seldon.io']: get update
            core/leases: create
            core/leases['a33bd623.machinelearning.seldon.io']: get update
        """,
    },
    "ambassador": {
        "ClusterRole ambassador-ambassador-contour": """
            core/configmaps: get list watch
            core/namespaces: get list watch
            core/secrets: get list watch
            core/services: get list watch
            discovery.k8s.io/endpointslices: get list watch
            gateway.networking.k8s.io/gatewayclasses/status: update
            gateway.networking.k8s.io/gatewayclasses: get list watch
            gateway.networking.k8s.io/gateways/status: update
            gateway.networking.k8s.io/gateways: get list watch
            gateway.networking.k8s.io/grpcroutes/status: update
            gateway.networking.k8s.io/grpcroutes: get list watch
            gateway.networking.k8s.io/httproutes/status: update
            gateway.networking.k8s.io/httproutes: get list watch
            gateway.networking.k8s.io/referencegrants: get list watch
            networking.k8s.io/ingresses: get list watch
            projectcontour.io/contourconfigurations: get list watch
            projectcontour.io/httpproxies/status: get update
            projectcontour.io/httpproxies: get list watch
            projectcontour.io/tlscertificatedelegations: get list watch
        """,
        "ClusterRole ambassador-ambassador-routes": """
            core/events: create
            core/services: list watch
            extensions/ingresses: list watch
            gateway.networking.k8s.io/gatewayclasses: list watch
            gateway.networking.k8s.io/gatewayclasses['ambassador']: create patch
            gateway.networking.k8s.io/gateways: list watch
            gateway.networking.k8s.io/grpcroutes: list watch create patch delete
            gateway.networking.k8s.io/httproutes: list watch create patch delete
            networking.k8s.io/ingresses: list watch
            rbac.authorization.k8s.io/clusterroles['ambassador-ambassador-routes']: get
        """,
        "Role ambassador-routes": """
            gateway.networking.k8s.io/gateways['ambassador']: create patch
        """,
    },
}
TLS = {
    "seldon-core-operator": {"seldon-webhook-server-cert"},
    "ambassador": {"contour-certificate", "envoy-certificate"},
}
CHARTS = sorted(RULES)


@pytest.fixture(scope="module")
def render(seatrial: Assembly, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Return a function that has Helm render a chart as the tutorial's release, and parses what comes out.

    Taken from the recipes, so that it is Seatrial's own also where the published one can be had. Definitions of kinds
    are added when it is built, and are not looked at here.
    """
    helm = seatrial.supply.program("helm").path
    directory = tmp_path_factory.mktemp("charts")

    def template(name: str, *values: str) -> Sequence[Body]:
        chart = directory / name
        shutil.copytree(RECIPES / name / "chart", chart, dirs_exist_ok=True)
        about = chart / "Chart.yaml"
        about.write_text(re.sub(r"\{[a-z-]+\}", "1.0.0", about.read_text(encoding="utf-8")), encoding="utf-8")
        release = {"seldon-core-operator": "seldon-core"}.get(name, name)
        flags = [f"--set={value}" for value in values]
        argv = (str(helm), "template", release, str(chart), f"--namespace={release}", "--kube-version=1.34", *flags)
        rendered = SubprocessRunner().run(Command(argv, timeout_s=60)).check()
        return [document for document in yaml.safe_load_all(rendered.stdout) if document]

    return template


def _containers(bodies: Sequence[Body]) -> Iterator[tuple[str, Body, Body]]:
    for body in bodies:
        if body["kind"] in {"Deployment", "DaemonSet", "StatefulSet", "Job"}:
            pod = body["spec"]["template"]["spec"]
            for container in (*pod.get("initContainers", ()), *pod["containers"]):
                yield f"{body['metadata']['name']}/{container['name']}", pod, container


def _rules(role: Body) -> list[str]:
    return sorted(
        f"{group or 'core'}/{resource}{rule.get('resourceNames', '')}: {' '.join(rule['verbs'])}"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    )


@pytest.mark.parametrize("chart", CHARTS)
def test_no_container_can_take_more_than_it_is_given(render: Render, chart: str) -> None:
    """Each runs as a user of its own without capabilities, cannot get others, writes to no image, and sees no host."""
    found = {name: (pod, container) for name, pod, container in _containers(render(chart))}
    assert set(found) == CONTAINERS[chart]
    for name, (pod, container) in found.items():
        security = {**pod["securityContext"], **container["securityContext"]}
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not security.get("privileged"), name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert not [volume for volume in pod.get("volumes", ()) if "hostPath" in volume], name


@pytest.mark.parametrize("chart", CHARTS)
def test_the_rights_are_these(render: Render, chart: str) -> None:
    """A further right is a decision: it is written down here, too. There is never one to everything."""
    roles = [body for body in render(chart) if body["kind"] in {"ClusterRole", "Role"}]
    rules = {f"{role['kind']} {role['metadata']['name']}": _rules(role) for role in roles}
    assert not [rule for of_one in rules.values() for rule in of_one if "*" in rule]
    assert rules == {
        role: sorted(line.strip() for line in text.strip().splitlines()) for role, text in RULES[chart].items()
    }


@pytest.mark.parametrize("chart", CHARTS)
def test_the_certificates_are_the_charts_own(render: Render, chart: str) -> None:
    """Secrets are certificates and nothing else; the key of the authority that signed them is in none of them."""
    secrets = {body["metadata"]["name"]: body for body in render(chart) if body["kind"] == "Secret"}
    assert set(secrets) == TLS[chart]
    for name, secret in secrets.items():
        assert secret["type"] == "kubernetes.io/tls", name
        assert set(secret["data"]) == {"ca.crt", "tls.crt", "tls.key"}, name
        for part, value in secret["data"].items():
            begin = "-----BEGIN CERTIFICATE-----" if part.endswith(".crt") else "-----BEGIN "
            assert base64.b64decode(value).decode().startswith(begin), (name, part)
    assert len({secret["data"]["ca.crt"] for secret in secrets.values()}) == 1


def test_the_api_server_is_told_whom_to_trust(render: Render) -> None:
    """The webhook's authority is the one that signed the operator's certificate, and nobody else."""
    bodies = render("seldon-core-operator")
    (secret,) = (body for body in bodies if body["kind"] == "Secret")
    (configuration,) = (body for body in bodies if body["kind"] == "ValidatingWebhookConfiguration")
    (webhook,) = configuration["webhooks"]
    assert webhook["clientConfig"]["caBundle"] == secret["data"]["ca.crt"]
    assert webhook["failurePolicy"] == "Fail"
    assert webhook["rules"][0]["operations"] == ["CREATE", "UPDATE"]


@pytest.mark.parametrize(
    ("values", "graph", "scaling"),
    [
        pytest.param((), {}, None, id="the published defaults"),
        pytest.param(("hpa.enabled=false", "model.logger.enabled=false", "model.uri="), {}, None, id="said again"),
        pytest.param(
            ("hpa.enabled=true", "hpa.minReplicas=2", "hpa.maxReplicas=3"),
            {},
            {"minReplicas": 2, "maxReplicas": 3},
            id="scaled",
        ),
        pytest.param(
            ("model.logger.enabled=true", "model.logger.url=http://logger"),
            {"logger": {"mode": "all", "url": "http://logger"}},
            None,
            id="logged",
        ),
        pytest.param(
            ("model.implementation=SKLEARN_SERVER", "model.uri=gs://bucket/model"),
            {"implementation": "SKLEARN_SERVER", "modelUri": "gs://bucket/model"},
            None,
            id="a prepackaged server",
        ),
    ],
)
def test_the_models_chart_takes_the_published_values(
    render: Render, values: tuple[str, ...], graph: Body, scaling: Body | None
) -> None:
    """Each of the published chart's values has its effect, and may be given at its default."""
    (body,) = render("seldon-single-model", "model.image=example/model", *values)
    (predictor,) = body["spec"]["predictors"]
    assert predictor["graph"] == {"name": "model", "type": "MODEL", "children": [], **graph}
    (component,) = predictor["componentSpecs"]
    assert component["spec"]["containers"][0]["image"] == "example/model"
    found = component.get("hpaSpec")
    assert (found and {key: found[key] for key in ("minReplicas", "maxReplicas")}) == scaling


@pytest.mark.parametrize(
    "value",
    [
        "usageMetrics.enabled=false",
        "certManager.enabled=false",
        "keda.enabled=false",
        "singleNamespace=false",
        "managerCreateResources=false",
    ],
)
def test_the_operators_chart_takes_published_defaults_of_what_it_cannot_do(render: Render, value: str) -> None:
    """Somebody's own values for the published chart are not refused for saying again what holds anyway."""
    assert render("seldon-core-operator", value)
