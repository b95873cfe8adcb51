"""Everything a run does at one cluster: the ways to deploy, to load images and to reach what was deployed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar
from uuid import uuid4

from harness.access.api_proxy import api_proxy
from harness.access.endpoint import Endpoint
from harness.access.load_balancer import load_balancer
from harness.access.node_port import node_port
from harness.access.port_forward import port_forward
from harness.assembly import Assembly
from harness.charts.case import Answer, Traffic, Via
from harness.charts.origin import ChartVersions
from harness.charts.render import Renderer
from harness.charts.voyage import Voyage
from harness.cluster.namespace import NamespaceFactory
from harness.cluster.provider import ClusterHandle
from harness.commands.helm import Dialect, Values
from harness.deploy.bodywork import BodyworkDeployer
from harness.deploy.bodywork3 import Bodywork3Deployer
from harness.deploy.bodywork_base import AnyBodyworkDeployer
from harness.deploy.bodywork_container import BodyworkContainer
from harness.deploy.deployer import Deployer, Witness
from harness.deploy.helm import HelmDeployer
from harness.deploy.kubectl import KubectlDeployer
from harness.deploy.manifests import ManifestDeployer
from harness.deploy.release import ResourceRef
from harness.deploy.rollout import problem_in, wait_for_load_balancer
from harness.deploy.seldon import SeldonDeployer
from harness.deploy.seldon_core import NAMESPACE as SELDON_NAMESPACE
from harness.deploy.seldon_core import SeldonCore, SeldonCoreInstaller
from harness.gateway.contour import NAME as AMBASSADOR
from harness.gateway.contour import Gateway, install_gateway
from harness.gateway.programmed import wait_for_route
from harness.images.reference import ImageRef
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse
from harness.scoring.traffic import TrafficProbe
from harness.scoring.verdict import ErrorBudget
from harness.temporary import own_temporary_directory

D = TypeVar("D", bound=Deployer)
L = TypeVar("L", ManifestDeployer, SeldonDeployer)
B = TypeVar("B", bound=AnyBodyworkDeployer)


class Site:
    """A cluster with the parts of the run that work on it.

    Args:
        assembly: the parts of the run.
        handle: the cluster.
    """

    def __init__(self, assembly: Assembly, handle: ClusterHandle) -> None:
        self._assembly = assembly
        self.handle = handle

    # -- namespaces

    @contextmanager
    def fresh_namespace(self, test_name: str) -> Iterator[str]:
        """Make a namespace named after a test and this run; it is gone after the block."""
        name = self._namespaces.create(test_name)
        try:
            with self._assembly.evidence.scene.watching(self.handle, name):
                yield name
        finally:
            self._namespaces.delete(name, wait=False)

    @contextmanager
    def fixed_namespace(self, name: str) -> Iterator[str]:
        """Have namespace `name` to oneself while the block runs; others who want it wait."""
        with (
            self._namespaces.fixed(name),
            self._assembly.evidence.scene.watching(self.handle, name),
        ):
            yield name

    @contextmanager
    def turn_with_namespace(self, name: str) -> Iterator[str]:
        """Have the name `name` to oneself while the block runs, for a deployment that makes the namespace itself."""
        with (
            self._namespaces.turn(name),
            self._assembly.evidence.scene.watching(self.handle, name),
        ):
            yield name

    @cached_property
    def _namespaces(self) -> NamespaceFactory:
        assembly = self._assembly
        settings = assembly.settings
        namespaces = NamespaceFactory(
            self.handle,
            run=assembly.run,
            cleanup=assembly.cleanup,
            lock_dir=assembly.lock_dir(self.handle),
            disposable=self.handle.provider == "kind" and not settings.cluster.keep and not self.handle.reused,
        )
        if self.handle.reused:
            namespaces.remove_abandoned()
        return namespaces

    # -- images

    def load_image(self, image: ImageRef, nodes: Sequence[str] = ()) -> ImageRef:
        """Make `image` usable in the cluster; see :meth:`Assembly.load_image`."""
        return self._assembly.load_image(self.handle, image, nodes)

    # -- deploying

    def kubectl(self) -> KubectlDeployer:
        """Return what deploys with raw kubectl commands; close it to delete what it made."""
        deployer = KubectlDeployer(
            self.handle, self._assembly.runner, self._assembly.settings.deploy, witness=self._witness()
        )
        return self._closed_at_the_end(deployer)

    def manifests(self) -> ManifestDeployer:
        """Return what applies manifests; close it to delete what it made."""
        return self._labelling(ManifestDeployer)

    def helm(self, program: str = "helm") -> HelmDeployer:
        """Return what installs charts; close it to uninstall what it made.

        Args:
            program: of supply's: ``helm``, or ``helm-4`` for that one whichever the run uses.
        """
        assembly = self._assembly
        helm = assembly.supply.program(program)
        deployer = HelmDeployer(
            self.handle,
            assembly.runner,
            assembly.settings.deploy,
            helm=helm.path,
            dialect=Dialect.from_version(helm.provenance.version),
            home=assembly.helm_home,
            labels=assembly.run.labels(),
            witness=self._witness(),
        )
        return self._closed_at_the_end(deployer)

    def voyage(self, helm: HelmDeployer) -> Voyage:
        """Return what takes charts' cases through the cluster with `helm`; see :mod:`harness.charts.voyage`."""
        assembly = self._assembly
        program = assembly.supply.program("helm")
        directory = own_temporary_directory() / f"charts-{uuid4().hex[:8]}"
        return Voyage(
            self.handle,
            helm,
            assembly.runner,
            ChartVersions(Renderer(assembly.runner, program.path, directory / "helm"), assembly.runner, directory),
            ChartQuay(self, assembly),
            lambda manifest, namespace: self.manifests().dry_run(manifest, namespace=namespace),
            assembly.settings.deploy,
        )

    def seldon(self) -> SeldonDeployer:
        """Return what deploys models through Seldon's operator; close it to delete what it made."""
        return self._labelling(SeldonDeployer)

    def seldon_core(self, helm: HelmDeployer) -> SeldonCoreInstaller:
        """Return what installs Seldon's operator with `helm`, whose closing takes the operator away again."""
        assembly = self._assembly
        return SeldonCoreInstaller(
            self.handle,
            assembly.runner,
            helm,
            assembly.supply.chart("seldon-core-operator"),
            load_images=partial(assembly.load_chart_images, self.handle),
        )

    def bodywork(self, image: str) -> BodyworkDeployer:
        """Return what runs the pipelines of Bodywork 2; close it to remove what it made.

        Args:
            image: an image with ``bodywork`` on its PATH, which the command line runs in.
        """
        return self._of_bodywork(BodyworkDeployer, image)

    def bodywork3(self, image: str) -> Bodywork3Deployer:
        """Return what deploys with Bodywork 3; close it to remove what it made.

        Args:
            image: an image with ``bodywork`` on its PATH, which the command line runs in.
        """
        return self._of_bodywork(Bodywork3Deployer, image)

    def _of_bodywork(self, kind: type[B], image: str) -> B:
        assembly = self._assembly
        program = BodyworkContainer(self.handle, image, assembly.engine, assembly.runner, assembly.run.labels())
        deployer = kind(
            self.handle, assembly.runner, assembly.settings.deploy, program=program, witness=self._witness()
        )
        return self._closed_at_the_end(deployer)

    def gateway(self, helm: HelmDeployer, *, values: Values | None = None) -> Gateway:
        """Install the gateway with `helm`, whose closing takes it away again, and return it once it has an address.

        The namespace ``ambassador`` has to be there: have it to oneself with :meth:`fixed_namespace`.
        """
        assembly = self._assembly
        chart = assembly.supply.chart(AMBASSADOR)
        parts = () if chart.published else ("contour", "envoy")
        versions = {name: assembly.supply.image(f"{name}-image").provenance.version for name in parts}
        return install_gateway(
            helm,
            chart,
            load_images=partial(assembly.load_chart_images, self.handle, chart),
            reach=self.load_balancer,
            versions=versions,
            values=values or Values(),
        )

    @contextmanager
    def installed_gateway(self, *, values: Values | None = None) -> Iterator[Gateway]:
        """Have the gateway in the cluster while the block runs; others who want one wait."""
        with self.fixed_namespace(AMBASSADOR), closing(self.helm()) as helm:
            gateway = self.gateway(helm, values=values)
            self._assembly.recorder.version("gateway", str(gateway))
            yield gateway

    @contextmanager
    def installed_seldon_core(self, *, values: Mapping[str, Any] | None = None) -> Iterator[SeldonCore]:
        """Have Seldon's operator in the cluster while the block runs; others who want it wait."""
        with self.fixed_namespace(SELDON_NAMESPACE), closing(self.helm()) as helm:
            with self._assembly.progress("deploy").step("install Seldon Core"):
                core = self.seldon_core(helm).install(values=values)
            self._assembly.recorder.version("Seldon Core", str(core))
            yield core

    def wait_for_route(self, prefix: str, *, timeout_s: float | None = None) -> ResourceRef:
        """Return when every Envoy of the gateway follows `prefix`; see :mod:`harness.gateway.programmed`."""
        limit_s = timeout_s or self._assembly.settings.deploy.rollout_timeout_s
        with self._assembly.progress("access").step(f"see '{prefix}' routed by the gateway"):
            return wait_for_route(self.handle, prefix, timeout_s=limit_s)

    def _witness(self) -> Witness:
        return self._assembly.evidence.witness(self.handle)

    def _labelling(self, kind: type[L]) -> L:
        """Return a deployer that puts the run's labels on what it deploys, and needs nothing besides."""
        assembly = self._assembly
        deployer = kind(
            self.handle,
            assembly.runner,
            assembly.settings.deploy,
            labels=assembly.run.labels(),
            witness=self._witness(),
        )
        return self._closed_at_the_end(deployer)

    def _closed_at_the_end(self, deployer: D) -> D:
        """Return `deployer`, closed when the run ends if Ctrl-C kept its user from doing so."""
        self._assembly.cleanup.push(f"releases in cluster '{self.handle.name}'", deployer.close)
        return deployer

    # -- reaching

    @contextmanager
    def port_forward(self, target: str, *, namespace: str, **options: Any) -> Iterator[Endpoint]:
        """Forward a local port while the block runs; see :func:`harness.access.port_forward.port_forward`."""
        with ExitStack() as stack:
            with self._assembly.progress("access").step(f"forward a port to {target}"):
                endpoint = stack.enter_context(port_forward(self.handle, target, namespace=namespace, **options))
            yield self._watched(endpoint, namespace)

    def load_balancer(self, service: str, *, namespace: str, port: int | str | None = None) -> Endpoint:
        """Return the balancer's address of a Service once it has one; kind clusters get a balancer when first asked."""
        assembly = self._assembly
        with assembly.progress("access").step(f"get the balancer's address of service '{service}'"):
            assembly.load_balancer.ensure(self.handle)
            ref = ResourceRef("Service", service, namespace)
            wait_for_load_balancer(self.handle, ref, assembly.settings.deploy.rollout_timeout_s)
            return self._watched(load_balancer(self.handle, service, namespace=namespace, port=port), namespace)

    def node_port(self, service: str, *, namespace: str, port: int | str | None = None) -> Endpoint:
        """Return the address of a NodePort Service; see :func:`harness.access.node_port.node_port`."""
        return self._watched(node_port(self.handle, service, namespace=namespace, port=port), namespace)

    def api_proxy(self, service: str, *, namespace: str, port: int | str | None = None) -> Endpoint:
        """Return the address of a Service behind the API server's proxy."""
        return self._watched(api_proxy(self.handle, service, namespace=namespace, port=port), namespace)

    def _watched(self, endpoint: Endpoint, namespace: str) -> Endpoint:
        """Return `endpoint`, able to say that waiting for it is of no use.

        A container without a readiness probe counts as ready the moment it starts: a rollout may succeed, and the
        service crash right after.
        """
        return replace(endpoint, hopeless=lambda: problem_in(self.handle, namespace))


class ChartQuay:
    """What charts' cases need of a site; see :class:`harness.charts.voyage.Quay`.

    Args:
        site: the site.
        assembly: the parts of the run.
    """

    def __init__(self, site: Site, assembly: Assembly) -> None:
        self._site = site
        self._assembly = assembly
        self.fresh_namespace = site.fresh_namespace
        self.fixed_namespace = site.fixed_namespace
        self.turn_with_namespace = site.turn_with_namespace

    def expect_load_balancers(self) -> None:
        """See :meth:`harness.charts.voyage.Quay.expect_load_balancers`."""
        self._assembly.load_balancer.ensure(self._site.handle)

    @contextmanager
    def reach(self, answer: Answer, namespace: str) -> Iterator[Endpoint]:
        """See :meth:`harness.charts.voyage.Quay.reach`."""
        if answer.via == "port-forward":
            options: dict[str, Any] = {} if answer.port is None else {"remote_port": answer.port}
            target = f"service/{answer.service}"
            with self._site.port_forward(target, namespace=namespace, **options) as endpoint:
                yield endpoint
            return
        ways: Mapping[Via, Callable[..., Endpoint]] = {
            "load-balancer": self._site.load_balancer,
            "node-port": self._site.node_port,
            "api-proxy": self._site.api_proxy,
        }
        yield ways[answer.via](answer.service, namespace=namespace, port=answer.port)

    def ask(self, endpoint: Endpoint, answer: Answer) -> None:
        """See :meth:`harness.charts.voyage.Quay.ask`."""
        _check(answer, self._assembly.score(endpoint, answer.request, path=answer.path, method=answer.method))

    @contextmanager
    def under_traffic(self, endpoint: Endpoint, answer: Answer, traffic: Traffic, name: str) -> Iterator[TrafficProbe]:
        """See :meth:`harness.charts.voyage.Quay.under_traffic`."""
        request = ScoreRequest(endpoint, answer.path, answer.request, answer.method, timeout_s=traffic.timeout_s)
        budget = ErrorBudget(
            traffic.max_failed, traffic.max_gap_s, p99_ms=traffic.p99_ms, min_requests=traffic.requests
        )
        with self._assembly.traffic(
            request,
            check=partial(_check, answer),
            rate_per_s=traffic.rate_per_s,
            keep_alive=traffic.keep_alive,
            name=name,
        ) as probe:
            yield probe
            probe.at_least(traffic.requests)
        probe.verdict.assert_within(budget)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """See :meth:`harness.charts.voyage.Quay.step`."""
        with self._assembly.recorder.step(what, phase="deploy"):
            yield


def _check(answer: Answer, response: ScoreResponse) -> None:
    response.assert_status(answer.status)
    if answer.response is not None:
        response.assert_json(answer.response)
