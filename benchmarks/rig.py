"""The same engine, programs and images for both sides of a benchmark, as Seatrial finds them by default."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from child import Ended, run

from harness.assembly import Assembly
from harness.cluster import kind_config
from harness.cluster.provider import ClusterSpec
from harness.cluster.readiness import DNS_PROBE_NAME, dns_query, dns_script
from harness.commands.kind import NETWORK_VARIABLE
from harness.outside.registry import CERTS_DIR, CONTAINER_PORT, mirror_config
from harness.settings import options
from harness.settings.resolve import Sources, resolve
from harness.settings.values import known_kubernetes_versions

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "fixtures" / "apps" / "py-flask-ml-score-api"
MANIFEST = ROOT / "fixtures" / "manifests" / "py-flask-ml-score.yaml"
IMAGE = "example/test-ml-score-api:latest"


def new_name(purpose: str) -> str:
    """Return a cluster name that nobody else uses."""
    return f"bench-{purpose}-{secrets.token_hex(3)}"


@contextmanager
def assembly(*flags: str) -> Iterator[Assembly]:
    """Have the parts of a run while the block runs.

    Args:
        flags: settings as on the command line, e.g. ``--offline``.
    """
    parser = argparse.ArgumentParser()
    options.add_to_argparse(parser, tuple(options.GROUPS))
    sources = Sources.from_argparse(parser.parse_args(flags))
    settings = resolve(sources, kubernetes_versions=known_kubernetes_versions())
    with closing(Assembly(settings, environ=dict(os.environ), stream=sys.stderr)) as parts:
        yield parts


class Bare:
    """The bare commands: Docker's, kind's and kubectl's own, with what Seatrial would give them.

    Args:
        parts: where programs and images come from.
    """

    def __init__(self, parts: Assembly) -> None:
        supply, spec = parts.supply, ClusterSpec(parts.settings.cluster.kubernetes)
        self.spec = spec
        self.env = {"DOCKER_HOST": parts.engine.docker_host, "DOCKER_BUILDKIT": "0"}
        self.kind = supply.program("kind").path
        self.kubectl_path = supply.program("kubectl").path
        self.node_image = supply.image(f"node-{spec.kubernetes}").reference
        self.base_image = supply.image("python-3.11").reference
        self.registry_image = supply.image("registry").reference

    def docker(self, *args: str | Path) -> Ended:
        """Run docker."""
        return run("docker", *args, env=self.env).check()

    def build(self, directory: Path) -> Ended:
        """Build the scoring image from `directory`, the way its users do."""
        return self.docker("build", "--build-arg", f"BASE_IMAGE={self.base_image}", "-t", IMAGE, directory)

    def kubectl(self, kubeconfig: Path, *args: str | Path) -> Ended:
        """Run kubectl."""
        return run(self.kubectl_path, "--kubeconfig", kubeconfig, *args).check()

    def create_cluster(self, name: str, scratch: Path) -> Path:
        """Make a cluster as Seatrial does, by bare commands, and return its kubeconfig.

        The same node image and kind configuration, a network and a registry of its own; ready when its nodes are, the
        default service account is there and DNS answers.

        Args:
            name: the cluster's, the network's and the registry's name.
            scratch: where its files go.
        """
        kubeconfig, config, certs = scratch / f"{name}.kubeconfig", scratch / f"{name}.yaml", scratch / name
        label = f'{{{{index .Config.Labels "{kind_config.LABEL_PATCHES}"}}}}'
        patches = self.docker("image", "inspect", "--format", label, self.node_image).output.strip()
        config.write_text(kind_config.render(self.spec, self.node_image, kubeadm_patches=patches), encoding="utf-8")
        self.docker("network", "create", name)
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(self._start_registry, name)
            argv = ("create", "cluster", "--name", name, "--config", config, "--kubeconfig", kubeconfig)
            run(self.kind, *argv, env={**self.env, NETWORK_VARIABLE: name}).check()
            address = starting.result()
        for path, text in mirror_config(address, f"{name}-registry:{CONTAINER_PORT}").items():
            (certs / path).parent.mkdir(parents=True)
            (certs / path).write_text(text, encoding="utf-8")
        node = f"{name}-control-plane"
        self.docker("cp", f"{certs}/.", f"{node}:{CERTS_DIR}")
        self.kubectl(kubeconfig, "wait", "nodes", "--all", "--for=condition=Ready", "--timeout=120s")
        self.kubectl(kubeconfig, "wait", "serviceaccount/default", "--for=create", "--timeout=60s")
        self.kubectl(kubeconfig, "rollout", "status", "deployment/coredns", "-n", "kube-system", "--timeout=60s")
        path = "jsonpath={.spec.clusterIP}"
        server = self.kubectl(kubeconfig, "get", "service", "kube-dns", "-n", "kube-system", "-o", path).output
        self.docker("exec", node, *dns_script(server, dns_query(DNS_PROBE_NAME, 1), limit_s=10))
        return kubeconfig

    def _start_registry(self, name: str) -> str:
        argv = ("--name", f"{name}-registry", "--network", name, "--publish", f"127.0.0.1::{CONTAINER_PORT}")
        settings = ("--env", f"REGISTRY_HTTP_ADDR=0.0.0.0:{CONTAINER_PORT}", "--env", "REGISTRY_AUTH=none")
        self.docker("run", "--detach", *argv, *settings, self.registry_image)
        return self.docker("port", f"{name}-registry", str(CONTAINER_PORT)).output.strip()

    def delete_cluster(self, name: str) -> None:
        """Delete what :meth:`create_cluster` made, or the part of it that is there."""
        run(self.kind, "delete", "cluster", "--name", name, "--kubeconfig", os.devnull, env=self.env)
        run("docker", "rm", "--force", "--volumes", f"{name}-registry", env=self.env)
        run("docker", "network", "rm", name, env=self.env)
