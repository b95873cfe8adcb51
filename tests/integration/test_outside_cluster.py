"""An outside world seen from pods: CoreDNS finds its names while it is there, and nothing is changed for that."""

from __future__ import annotations

import pytest

from harness.assembly import Assembly
from harness.cluster.provider import ClusterHandle
from harness.errors import CommandError
from harness.images.reference import ImageRef
from harness.outside.s3 import S3, ObjectStore
from harness.process.runner import Runner

BUCKET = "seen-from-pods"


def test_pods_reach_it_by_name(
    seatrial: Assembly, cluster: ClusterHandle, runner: Runner, score_image: ImageRef, namespace: str
) -> None:
    """A pod reads an object under the bucket's public name, and CoreDNS has the configuration it had before."""
    corefile = cluster.kubectl_command("get", "configmap", "coredns", "--namespace=kube-system", "--output=yaml")
    before = runner.run(corefile).check().stdout
    service = S3((BUCKET,), region="eu-west-2")
    world = seatrial.outside_world(cluster, [service])
    try:
        store = ObjectStore(world.http_address, service)
        store.create_bucket(BUCKET)
        store.put(BUCKET, "hello", b"from outside")

        def ask(name: str, host: str) -> str:
            """Return what a pod gets from there."""
            args = ("run", name, f"--image={score_image.name}", "--restart=Never", "--rm", "--stdin", "--quiet")
            asking = f"import urllib.request; print(urllib.request.urlopen('http://{host}/hello', timeout=10).read())"
            command = cluster.kubectl_command(
                *args, f"--namespace={namespace}", "--command", "--", "python3", "-c", asking, timeout_s=60
            )
            return runner.run(command).check().stdout

        assert ask("ask", f"{BUCKET}.s3.eu-west-2.amazonaws.com").strip() == "b'from outside'"
        with pytest.raises(CommandError):
            ask("ask-another", "no-such-bucket.s3.eu-west-2.amazonaws.com")
    finally:
        world.remove()
    assert runner.run(corefile).check().stdout == before
