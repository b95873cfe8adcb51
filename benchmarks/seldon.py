"""Seldon Core on a kept cluster: operator, gateway and first score; a further model; what the gateway adds.

The cluster is made anew and has no image of Seldon's yet; supply's cache and the engine's store are warm. Both models
run the same image, so the second has nothing to load.

The first figure counts from a cluster with a load balancer and nothing else to the first right answer: loading the
images of gateway, operator and model into the node, both charts until they are ready, the model until it is Available,
the gateway until it leads there, and the request. Not in it: the cluster, the balancer, building any image.

What the gateway adds is measured in turns: one request through the balancer's address and Envoy, one straight to the
model's pod by its node's address and port. Both end in the same iptables of the same node, so that the difference is
Envoy and the way from it to the pod. A third, through a forwarded port, shows what a test without gateway would pay: a
way through API server and kubelet for each connection, and the model's server may end each after its answer.

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
from harness.scoring.readiness import wait_until_answers
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


def latencies_ms(through: Endpoint, *straight: Endpoint, requests: int) -> list[list[float]]:
    """Return the latencies of each way, through the gateway and straight to the pod, sent in turns."""
    ways = (
        ScoreRequest(through, SeldonPaths.through_gateway("default", "first").predictions(), MESSAGE.body),
        *(ScoreRequest(endpoint, SeldonPaths().predictions(), MESSAGE.body) for endpoint in straight),
    )
    with RequestsTransport() as transport:
        for way in ways:
            # kube-proxy takes a moment to hear of a Service that was made just now.
            wait_until_answers(transport, way, timeout_s=30)
        sent = (transport.send(way).assert_status(200) for _ in range(WARM_UP + requests) for way in ways)
        latencies = [response.latency_s * 1000 for response in sent][WARM_UP * len(ways) :]
    return [latencies[way :: len(ways)] for way in range(len(ways))]


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

        kubectl = stack.enter_context(closing(site.kubectl()))
        kubectl.expose("first-default-0-model", port=9000, name="first-straight", service_type="NodePort")
        node = site.node_port("first-straight", namespace="default")
        forward = stack.enter_context(site.port_forward("service/first-default", namespace="default", remote_port=9000))
        through, straight, forwarded = latencies_ms(gateway.endpoint, node, forward, requests=requests)
    rows.append(["request through balancer and gateway, median ms", "", median(through)])
    rows.append(["request straight to the pod by the node's port, median ms", "", median(straight)])
    rows.append(["request straight to the pod by a forwarded port, median ms", "", median(forwarded)])
    added = statistics.median(through) - statistics.median(straight)
    rows.append(["the gateway adds, ms", "5", f"{added:.2f}"])
    report.show(f"One fresh cluster, {requests} requests each way.", ["", "target", "measured"], rows)


if __name__ == "__main__":
    main()
