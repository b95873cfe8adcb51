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

        # By exec: what `kubectl run --rm --stdin` attaches to may have ended, all said, before it is attached.
        pod = cluster.kubectl_command(
            "run", "asker", f"--image={score_image.name}", f"--namespace={namespace}", "--command", "--", "sleep", "300"
        )
        runner.run(pod).check()
        ready = ("wait", "pod/asker", "--for=condition=Ready", "--timeout=60s", f"--namespace={namespace}")
        runner.run(cluster.kubectl_command(*ready, timeout_s=70)).check()

        def ask(host: str) -> str:
            """Return what a pod gets from there."""
            asking = f"import urllib.request; print(urllib.request.urlopen('http://{host}/hello', timeout=10).read())"
            args = ("exec", "asker", f"--namespace={namespace}", "--", "python3", "-c", asking)
            return runner.run(cluster.kubectl_command(*args, timeout_s=30)).check().stdout

        assert ask(f"{BUCKET}.s3.eu-west-2.amazonaws.com").strip() == "b'from outside'"
        with pytest.raises(CommandError):
            ask("no-such-bucket.s3.eu-west-2.amazonaws.com")
    finally:
        world.remove()
    assert runner.run(corefile).check().stdout == before
