"""What is collected when a Seldon test has failed, for the person who has to find out why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from harness.assembly import Assembly
from harness.deploy.seldon import Predictor, SeldonDeployer, SeldonDeployment
from harness.errors import RolloutError
from harness.evidence.collect import cluster_collectors, collect
from harness.images.reference import ImageRef
from harness.site import Site
from harness.supply.resolver import Supply

APP = Path(__file__).parents[2] / "fixtures" / "apps" / "seldon-ml-score-component"


@pytest.fixture
def model_image(seatrial: Assembly, supply: Supply, site: Site) -> ImageRef:
    """The tutorial's model, usable in the cluster."""
    base = supply.image("python-3.11").reference
    name = "example/test-ml-score-seldon-api:latest"
    return site.load_image(seatrial.build_image(APP, name=name, build_args={"BASE_IMAGE": base}))


@pytest.fixture
def seldon(site: Site) -> Iterator[SeldonDeployer]:
    """What deploys models, with an operator of this module's own: others take turns with it."""
    with site.installed_seldon_core(), closing(site.seldon()) as deployer:
        yield deployer


def test_a_model_that_crashes_leaves_its_last_words_and_the_operators(
    seatrial: Assembly, site: Site, seldon: SeldonDeployer, namespace: str, model_image: ImageRef, tmp_path: Path
) -> None:
    """The log of the container that ended, the SeldonDeployment's status, and the operator's log of meanwhile.

    They are collected from where a failure's evidence would be: the operator's namespace is among them unasked.
    """
    model = Predictor(model_image, env={"MODEL_NAME": "faulty.RaisesAtStart"})
    with pytest.raises(RolloutError, match="CrashLoopBackOff"):
        seldon.apply(SeldonDeployment("model", [model], no_engine=True), namespace=namespace)

    scene, notes = seatrial.evidence.scene, list[str]()
    collectors = cluster_collectors(
        seatrial.runner,
        site.handle,
        scene.namespaces_in(site.handle),
        scene.releases_in(site.handle),
        log_tail_lines=500,
    )
    files = collect(collectors, tmp_path, redact=str, note=notes.append)
    found = {str(path.relative_to(tmp_path)): path.read_text(encoding="utf-8") for path in files}
    assert notes == []
    (previous,) = (text for name, text in found.items() if name.endswith(".model.previous.log"))
    assert "the weights are not where they should be" in previous
    status = yaml.safe_load(found[f"{namespace}/seldondeployments.yaml"])["status"]
    assert status["state"] == "Creating"
    logs = {name: text for name, text in found.items() if name.startswith("seldon-core/logs/")}
    (operator,) = (text for name, text in logs.items() if ".previous." not in name)
    assert "model-default-0-model" in operator
