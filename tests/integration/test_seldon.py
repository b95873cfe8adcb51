"""Seldon's operator on a real cluster: installed, given models, good and bad, and taken away again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.assembly import Assembly
from harness.commands.helm import Values
from harness.deploy.helm import HelmDeployer
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.seldon import READINESS_PROBE, Predictor, SeldonDeployer, SeldonDeployment
from harness.deploy.seldon_core import NAMESPACE, SeldonCore
from harness.errors import RolloutError, SeldonError, SeldonOperatorError, SeldonRefusedError
from harness.images.reference import ImageRef
from harness.naming import dns_label
from harness.scoring.response import ScoreResponse
from harness.site import Site
from harness.supply.resolver import Supply

APP = Path(__file__).parents[2] / "fixtures" / "apps" / "seldon-ml-score-component"
REQUEST = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [0, 0, 1, 1]}}}
ANSWER = {"names": ["t:0", "t:1"], "tensor": {"shape": [2, 2], "values": [0.0, 0.0, 1.0, 1.0]}}
CLUSTER_SCOPED = (
    "customresourcedefinitions",
    "clusterroles",
    "clusterrolebindings",
    "validatingwebhookconfigurations",
    "mutatingwebhookconfigurations",
)

Predict = Callable[..., ScoreResponse]


@pytest.fixture(scope="session")
def model_image(build_image: Callable[..., ImageRef], supply: Supply, site: Site) -> ImageRef:
    """The tutorial's model, usable in the cluster."""
    base = supply.image("python-3.11").reference
    image = build_image(APP, name="example/test-ml-score-seldon-api:latest", build_args={"BASE_IMAGE": base})
    return site.load_image(image)


@contextmanager
def _installed(site: Site) -> Iterator[SeldonCore]:
    with site.fixed_namespace(NAMESPACE), closing(site.helm()) as helm:
        installer = site.seldon_core(helm)
        core = installer.install()
        yield core
        installer.uninstall(core)


@pytest.fixture(scope="module")
def core(site: Site) -> Iterator[SeldonCore]:
    """An operator that answers."""
    with _installed(site) as core:
        yield core


@pytest.fixture
def seldon(site: Site, core: SeldonCore) -> Iterator[SeldonDeployer]:
    """What deploys models."""
    with closing(site.seldon()) as deployer:
        yield deployer


@pytest.fixture
def predict(site: Site, seatrial: Assembly, namespace: str) -> Predict:
    """Ask a predictor's Service through a forwarded port: ``predict(service, path)``."""

    def predict(service: str, path: str = "/api/v0.1/predictions") -> ScoreResponse:
        with site.port_forward(f"service/{service}", namespace=namespace, remote_port=9000) as endpoint:
            return seatrial.score(endpoint, REQUEST, path=path)

    return predict


def _objects(kubectl: KubectlDeployer) -> set[str]:
    return {f"{kind}/{item['metadata']['name']}" for kind in CLUSTER_SCOPED for item in kubectl.get(kind)}


def test_without_operator_it_is_said(site: Site, namespace: str) -> None:
    """Where the kind is not defined, the hint is to install Seldon Core."""
    with closing(site.seldon()) as seldon, pytest.raises(SeldonOperatorError, match="install Seldon Core first"):
        seldon.apply(SeldonDeployment("model", [Predictor("example/any")]), namespace=namespace)


def test_nothing_cluster_wide_is_left_behind(
    seatrial: Assembly, site: Site, supply: Supply, kubectl: KubectlDeployer, namespace: str
) -> None:
    """Installed, given a model nobody deletes, and uninstalled: what was there before is there, and nothing else."""
    # Otherwise another worker's test may install it meanwhile.
    seatrial.load_balancer.ensure(site.handle)
    before = _objects(kubectl)
    with _installed(site) as core:
        assert _objects(kubectl) > before
        published = supply.chart("seldon-core-operator").published
        assert (core.published, core.no_engine) == (published, not published)
        with closing(site.seldon()) as seldon:
            image = "example/never-pulled:latest"
            release = seldon.apply(SeldonDeployment("left", [Predictor(image)], True), namespace=namespace, wait=False)
            site.helm().uninstall(core.release)
            seldon.delete(release)
    assert _objects(kubectl) == before


def test_a_model_answers_and_is_gone_after(
    seldon: SeldonDeployer, namespace: str, model_image: ImageRef, predict: Predict, kubectl: KubectlDeployer
) -> None:
    """Available means that it answers, as the tutorial says; deleting takes Services, Deployment and pods along."""
    model = SeldonDeployment("model", [Predictor(model_image)], no_engine=True)
    release = seldon.apply(model, namespace=namespace)
    assert [str(ref) for ref in release.resources] == [
        f"seldondeployment/model in namespace '{namespace}'",
        f"service/model-default in namespace '{namespace}'",
        f"service/model-default-model in namespace '{namespace}'",
        f"deployment/model-default-0-model in namespace '{namespace}'",
    ]
    assert seldon.status("model", namespace=namespace)["state"] == "Available"
    answer = predict("model-default").assert_status(200).json()
    assert answer["data"] == ANSWER
    assert answer["meta"]["requestPath"] == {"model": model_image.name}
    seldon.delete(release)
    for kind in ("seldondeployments", "services", "deployments", "pods"):
        assert kubectl.get(kind, namespace=namespace) == ()


def test_the_wait_is_for_the_change(
    seldon: SeldonDeployer, namespace: str, model_image: ImageRef, predict: Predict
) -> None:
    """After a change, what answers is the changed model: the status of the one before does not count."""
    before = Predictor(model_image)
    seldon.apply(SeldonDeployment("model", [before], no_engine=True), namespace=namespace)
    after = replace(before, env={"MODEL_NAME": "faulty.AnswersText"})
    seldon.apply(SeldonDeployment("model", [after], no_engine=True), namespace=namespace)
    assert predict("model-default").assert_status(200).json()["strData"] == "forty-two"


def test_a_canary_comes_and_goes(
    seldon: SeldonDeployer, namespace: str, model_image: ImageRef, predict: Predict, kubectl: KubectlDeployer
) -> None:
    """Two predictors each have a Service, the route of the second its weight; when it goes, so does all of it."""
    main = Predictor(model_image, "main", traffic=75)
    canary = Predictor(model_image, "canary", traffic=25, env={"MODEL_NAME": "faulty.AnswersText"})
    release = seldon.apply(SeldonDeployment("model", [main, canary], no_engine=True), namespace=namespace)
    assert release.details["services"] == ("model-main", "model-canary")
    assert predict("model-main").assert_status(200).json()["data"] == ANSWER
    assert predict("model-canary").assert_status(200).json()["strData"] == "forty-two"
    seldon.apply(
        SeldonDeployment("model", [replace(main, traffic=60), replace(canary, traffic=40)], no_engine=True),
        namespace=namespace,
    )
    (service,) = kubectl.get("service/model-canary", namespace=namespace)
    assert "weight: 40" in service["metadata"]["annotations"]["getambassador.io/config"]
    seldon.apply(SeldonDeployment("model", [replace(main, traffic=100)], no_engine=True), namespace=namespace)
    names = [item["metadata"]["name"] for item in kubectl.get("deployments", namespace=namespace)]
    assert names == ["model-main-0-model"]
    names = [item["metadata"]["name"] for item in kubectl.get("services", namespace=namespace)]
    assert names == ["model-main", "model-main-model"]


def test_the_webhook_refuses_and_says_why(seldon: SeldonDeployer, namespace: str, kubectl: KubectlDeployer) -> None:
    """Traffic that does not sum to 100 is refused with the operator's own words; nothing is made."""
    two = [Predictor("example/any", "a", traffic=10), Predictor("example/any", "b", traffic=10)]
    with pytest.raises(SeldonRefusedError, match="Traffic must sum to 100 for multiple predictors") as caught:
        seldon.apply(SeldonDeployment("model", two, no_engine=True), namespace=namespace)
    assert caught.value.description.startswith("spec: Invalid value")
    assert caught.value.facts["reason"] == "Invalid"
    assert kubectl.get("seldondeployments", namespace=namespace) == ()


@pytest.mark.parametrize(
    ("predictor", "reason", "seen"),
    [
        pytest.param({"env": {"MODEL_NAME": "faulty.RaisesAtStart"}}, "CrashLoopBackOff", "weights", id="raises"),
        pytest.param(
            {
                "env": {"MODEL_NAME": "faulty.EatsMemory"},
                "resources": {"limits": {"memory": "160Mi"}},
            },
            "OOMKilled",
            "memory",
            id="eats memory",
        ),
    ],
)
def test_a_model_that_cannot_start_tells_why(
    seldon: SeldonDeployer,
    namespace: str,
    model_image: ImageRef,
    predictor: dict[str, object],
    reason: str,
    seen: str,
) -> None:
    """The wait ends with Kubernetes' word, and with the model's own last lines."""
    model = SeldonDeployment("model", [Predictor(model_image, **predictor)], no_engine=True)  # type: ignore[arg-type]
    with pytest.raises(RolloutError) as caught:
        seldon.apply(model, namespace=namespace)
    assert caught.value.reason == reason
    assert seen in str(caught.value)


def test_a_wrong_image_tells_so(seldon: SeldonDeployer, namespace: str) -> None:
    """An image that is nowhere ends the wait, not the deadline."""
    with pytest.raises(RolloutError) as caught:
        seldon.apply(SeldonDeployment("model", [Predictor("Not/An Image")], no_engine=True), namespace=namespace)
    assert caught.value.reason == "InvalidImageName"


def test_what_the_operator_cannot_make_is_told_in_its_words(seldon: SeldonDeployer, namespace: str) -> None:
    """A container the API server refuses makes the operator fail: its description is the error's."""
    body = SeldonDeployment("model", [Predictor("example/any")], no_engine=True).body()
    body["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["imagePullPolicy"] = "Sometimes"
    with pytest.raises(SeldonError, match="Sometimes") as caught:
        seldon.apply(body, namespace=namespace)
    assert caught.value.state == "Failed"


def test_the_single_model_chart_is_waited_for(
    site: Site,
    core: SeldonCore,
    supply: Supply,
    helm: HelmDeployer,
    namespace: str,
    model_image: ImageRef,
    predict: Predict,
    kubectl: KubectlDeployer,
) -> None:
    """A release of the chart is installed when its model answers, also with what scales it; the image's older value."""
    name = dns_label("test-ml-seldon-app")
    values = Values(
        inline={
            "noEngine": core.no_engine,
            "model": {"readinessProbe": dict(READINESS_PROBE)},
            "hpa": {"enabled": True, "maxReplicas": 2},
        },
        overrides={"model.image.name": model_image.name},
    )
    release = helm.install(name, supply.chart("seldon-single-model").path, namespace=namespace, values=values)
    assert predict(f"{name}-default").assert_status(200).json()["data"] == ANSWER
    (scaler,) = kubectl.get("horizontalpodautoscalers", namespace=namespace)
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 2)
    helm.uninstall(release)
