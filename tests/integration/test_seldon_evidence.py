"""What a failed Seldon test leaves for the person who has to find out why, by a real run in a cluster that exists."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.assembly import Assembly
from harness.cluster.provider import ClusterHandle
from harness.images.reference import ImageRef
from harness.site import Site
from harness.supply.resolver import Supply
from tests.integration.child_run import ChildProject

APP = Path(__file__).parents[2] / "fixtures" / "apps" / "seldon-ml-score-component"
IMAGE = "example/test-ml-score-seldon-api:latest"
TEST = f"""
    from harness import Predictor, SeldonDeployment

    def test_it(seldon, namespace):
        model = Predictor("{IMAGE}", env={{"MODEL_NAME": "faulty.RaisesAtStart"}})
        seldon.apply(SeldonDeployment("model", [model], no_engine=True), namespace=namespace)
"""


@pytest.fixture
def model_image(seatrial: Assembly, supply: Supply, site: Site) -> ImageRef:
    """The tutorial's model, usable in the cluster."""
    image = seatrial.build_image(APP, name=IMAGE, build_args={"BASE_IMAGE": supply.image("python-3.11").reference})
    return site.load_image(image)


def test_a_model_that_crashes_leaves_its_last_words_and_the_operators(
    seatrial: Assembly, cluster: ClusterHandle, supply: Supply, model_image: ImageRef, tmp_path: Path
) -> None:
    """The log of the container that ended, the SeldonDeployment's status, and the operator's log of meanwhile."""
    assert model_image.name == IMAGE
    supply.program("helm")
    supply.chart("seldon-core-operator")
    artifacts = seatrial.settings.supply.cache_dir / "artifacts"
    options = (
        "--cluster-provider=existing",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--kube-context={cluster.context}",
    )
    child = ChildProject(tmp_path, seatrial.engine, artifacts, options)
    child.write({"test_it.py": TEST})
    run = child.run()
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED, run.output

    (failure,) = run.record()["failures"]
    assert "CrashLoopBackOff" in failure["message"]
    found = {name: (run.evidence / name).read_text(encoding="utf-8") for name in failure["files"]}
    (previous,) = (text for name, text in found.items() if name.endswith(".model.previous.log"))
    assert "the weights are not where they should be" in previous
    (models,) = (text for name, text in found.items() if name.endswith("/seldondeployments.yaml"))
    assert yaml.safe_load(models)["status"]["state"] == "Creating"
    (operator,) = (text for name, text in found.items() if "/seldon-core/logs/seldon-controller-manager-" in name)
    assert "model-default-0-model" in operator
    assert child.traces(cluster) == []
