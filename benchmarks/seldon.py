"""Seldon Core on a kept cluster: operator, gateway and first score; a further model; what the gateway adds.

The cluster is made anew and has no image of Seldon's yet; supply's cache and the engine's store are warm. Both models
run the same image, so the second has nothing to load.

The gateway's part is measured on kept connections, in turns: one request through the balancer's address and Envoy, one
through a forwarded port straight to the model's pod.

Usage: python benchmarks/seldon.py [--requests N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack, closing
from pathlib import Path

import rig
from report import Report, median

from harness.access.endpoint import Endpoint
from harness.assembly import Assembly
from harness.cluster.provider import ClusterSpec
from harness.deploy.seldon import Predictor, SeldonDeployer, SeldonDeployment
from harness.gateway.contour import Gateway
from harness.images.reference import ImageRef
from harness.scoring.request import ScoreRequest
from harness.scoring.seldon import SeldonMessage, SeldonPaths
from harness.scoring.seldon_response import SeldonResponse
from harness.scoring.transport import RequestsTransport
from harness.site import Site

APP = rig.ROOT / "fixtures" / "apps" / "seldon-ml-score-component"
MESSAGE = SeldonMessage.tensor([[0, 0], [1, 1]], names=["a", "b"])
WARM_UP = 20


def score(parts: Assembly, site: Site, gateway: Gateway, seldon: SeldonDeployer, model: SeldonDeployment) -> None:
    """Deploy a model into namespace default and take its first score through the gateway."""
    seldon.apply(model, namespace="default")
    site.wait_for_route(f"/seldon/default/{model.name}/")
    path = SeldonPaths.through_gateway("default", model.name).predictions()
    SeldonResponse.of(parts.score(gateway.endpoint, MESSAGE.body, path=path)).assert_data([[0, 0], [1, 1]])


def latencies_ms(through: Endpoint, straight: Endpoint, requests: int) -> tuple[list[float], list[float]]:
    """Return the latency of requests through the gateway and straight to the pod, sent in turns."""
    ways = (
        ScoreRequest(through, SeldonPaths.through_gateway("default", "first").predictions(), MESSAGE.body),
        ScoreRequest(straight, SeldonPaths().predictions(), MESSAGE.body),
    )
    with RequestsTransport() as transport:
        pairs = [[transport.send(way).latency_s * 1000 for way in ways] for _ in range(WARM_UP + requests)][WARM_UP:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500, help="requests each way")
    requests = parser.parse_args().requests
    report, rows = Report(), []
    with rig.assembly() as parts, ExitStack() as stack:
        built: ImageRef = parts.build_image(
            Path(APP),
            name="example/test-ml-score-seldon-api:latest",
            build_args={"BASE_IMAGE": parts.supply.image("python-3.11").reference},
        )
        for name in ("seldon-core-operator", "ambassador"):
            for artifact in parts.supply.chart(name).images.values():
                parts.supply.image(artifact)
        site = Site(parts, parts.cluster(ClusterSpec(parts.settings.cluster.kubernetes)))
        parts.load_balancer.ensure(site.handle)

        began = time.perf_counter()
        gateway = stack.enter_context(site.installed_gateway())
        core = stack.enter_context(site.installed_seldon_core())
        image = site.load_image(built)
        seldon = stack.enter_context(closing(site.seldon()))
        score(parts, site, gateway, seldon, SeldonDeployment("first", [Predictor(image)], core.no_engine))
        rows.append(["gateway, operator, first score, s", "60", f"{time.perf_counter() - began:.1f}"])

        began = time.perf_counter()
        score(parts, site, gateway, seldon, SeldonDeployment("second", [Predictor(image)], core.no_engine))
        rows.append(["a further model, s", "15", f"{time.perf_counter() - began:.1f}"])

        forward = site.port_forward("service/first-default", namespace="default", remote_port=9000)
        through, straight = latencies_ms(gateway.endpoint, stack.enter_context(forward), requests)
    rows.append(["request through the gateway, median ms", "", median(through)])
    rows.append(["request straight through a forwarded port, median ms", "", median(straight)])
    added = statistics.median(through) - statistics.median(straight)
    rows.append(["the gateway adds, ms", "5", f"{added:.2f}"])
    report.show(f"One fresh cluster, {requests} requests each way.", ["", "target", "measured"], rows)


if __name__ == "__main__":
    main()
