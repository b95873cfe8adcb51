"""An outside world seen from pods: CoreDNS finds its names while it is there, and nothing is changed for that."""

from __future__ import annotations

import pytest

from harness.cluster.provider import ClusterHandle
from harness.engine.engine import Engine
from harness.errors import CommandError
from harness.naming import Run
from harness.outside.ca import PrivateCA
from harness.outside.s3 import S3, ObjectStore
from harness.outside.world import OutsideWorld
from harness.process.runner import Runner
from harness.supply.resolver import Supply

BUCKET = "seen-from-pods"


def test_pods_reach_it_by_name(
    cluster: ClusterHandle, engine: Engine, runner: Runner, supply: Supply, namespace: str
) -> None:
    """A pod reads an object under the bucket's public name, and CoreDNS has the configuration it had before."""
    busybox = f"seatrial/local-path-provisioner:{supply.image('local-path-provisioner-image').provenance.version}"
    corefile = cluster.kubectl_command("get", "configmap", "coredns", "--namespace=kube-system", "--output=yaml")
    before = runner.run(corefile).check().stdout
    service = S3((BUCKET,), region="eu-west-2")
    world = OutsideWorld.start(
        engine,
        image=supply.image("outside").reference,
        name=f"{cluster.name}-outside",
        network=cluster.name,
        services=[service],
        ca=PrivateCA(),
        labels=Run.begin().labels(),
    )
    try:
        store = ObjectStore(world.http_address, service)
        store.create_bucket(BUCKET)
        store.put(BUCKET, "hello", b"from outside")

        def ask(name: str, host: str) -> str:
            """Return what a pod gets from there."""
            args = ("run", name, f"--image={busybox}", "--restart=Never", "--rm", "--stdin", "--quiet", "--command")
            inside = ("busybox", "wget", "-q", "-T", "10", "-O", "-", f"http://{host}/hello")
            command = cluster.kubectl_command(*args, f"--namespace={namespace}", "--", *inside)
            return runner.run(command).check().stdout

        assert ask("ask", f"{BUCKET}.s3.eu-west-2.amazonaws.com") == "from outside"
        with pytest.raises(CommandError):
            ask("ask-another", "no-such-bucket.s3.eu-west-2.amazonaws.com")
    finally:
        world.remove()
    assert runner.run(corefile).check().stdout == before
