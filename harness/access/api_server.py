"""The API server of a cluster, as far as the ways to a service need it.

Reads are the kubernetes client's; this module turns its errors into Seatrial's and adds what the client lacks: the
server's address with its credentials for other HTTP clients, and a websocket that leaves reading and writing to its
caller.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
import websocket
from kubernetes import client as kubernetes_client

from harness.access.endpoint import Endpoint
from harness.cluster.provider import ClusterHandle, is_loopback
from harness.errors import AccessError

T = TypeVar("T")

# An API server that is well answers a read in milliseconds; one that does not in ten seconds is not going to.
API_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ApiServer:
    """An open connection to the API server of a cluster.

    Args:
        cluster: the cluster's name, for messages.
        core: reads of pods, services and nodes.
        apps: reads of deployments and their kin.
        tls: how the server is verified and the client known; ``None`` for plain HTTP.
    """

    cluster: str
    core: Any
    apps: Any
    configuration: Any
    tls: ssl.SSLContext | None

    def read(self, what: str, call: Callable[..., T], *args: str, **options: Any) -> T:
        """Return what `call` of the kubernetes client returns.

        Args:
            what: completes "could not read ...", e.g. ``"service/web in namespace 'demo'"``.
            call: a method of :attr:`core` or :attr:`apps`.
            args: its positional arguments.
            options: its keyword arguments.

        Raises:
            AccessError: the server does not answer or refuses.
        """
        try:
            return call(*args, _request_timeout=API_TIMEOUT_S, **options)
        except kubernetes_client.ApiException as error:
            kind = what.partition(" ")[0]
            raise AccessError(
                f"read {what} of cluster '{self.cluster}'",
                seen=f"{error.status} {error.reason}",
                hint=f"see what is there: kubectl get -n NAMESPACE {kind}"
                if error.status == 404  # noqa: PLR2004
                else f"`kubectl auth can-i get {kind.partition('/')[0]} -n NAMESPACE` says whether this user may",
                status=error.status,
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise AccessError(
                f"read {what} of cluster '{self.cluster}'", seen=str(error), hint="see whether the cluster still runs"
            ) from error

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the client's credentials, a fresh token where the kubeconfig can renew it."""
        settings = self.configuration.auth_settings().values()
        return {
            str(setting["key"]): str(setting["value"])
            for setting in settings
            if setting["in"] == "header" and setting["value"]
        }

    def endpoint(self, path: str, via: str) -> Endpoint:
        """Return `path` of the server as an endpoint that carries the credentials of the kubeconfig.

        Raises:
            AccessError: the kubeconfig verifies the server under another name, which requests cannot do.
        """
        configuration = self.configuration
        if getattr(configuration, "tls_server_name", None):
            raise AccessError(
                f"reach {path} through the API server of cluster '{self.cluster}'",
                seen=f"its kubeconfig asks for the TLS server name '{configuration.tls_server_name}'",
                hint="use a port-forward, which can verify the server under that name",
            )
        headers = self.headers()
        certificate, key = configuration.cert_file, configuration.key_file
        return Endpoint(
            f"{configuration.host.rstrip('/')}{path}",
            via,
            headers,
            verify=(configuration.ssl_ca_cert or True) if configuration.verify_ssl else False,
            cert=(Path(certificate), Path(key)) if certificate and key else None,
            secrets=tuple(value.rpartition(" ")[2] for value in headers.values()),
        )

    def websocket(self, path: str, subprotocol: str, *, timeout_s: float) -> websocket.WebSocket:
        """Open a websocket to `path` (which may carry a query).

        Raises:
            AccessError: the server refused or did not answer within `timeout_s`.
        """
        address = f"{self.configuration.host.rstrip('/')}{path}"
        socket = websocket.WebSocket(sslopt=self._ssl_options(), skip_utf8_validation=True)
        try:
            socket.connect(  # type: ignore[no-untyped-call] # the client has few types
                f"ws{address.removeprefix('http')}",
                header=[f"{name}: {value}" for name, value in self.headers().items()],
                subprotocols=[subprotocol],
                suppress_origin=True,
                timeout=timeout_s,
                redirect_limit=0,
                **self._proxy_options(),
            )
        except websocket.WebSocketBadStatusException as error:
            body = (error.resp_body or b"").decode(errors="replace").strip()
            raise AccessError(
                f"open a websocket to {path} of cluster '{self.cluster}'",
                seen=f"{error.status_code} {body}".strip(),
                hint="see whether the kubeconfig's user may create pods/portforward",
                status=error.status_code,
            ) from error
        except (websocket.WebSocketException, OSError) as error:
            raise AccessError(
                f"open a websocket to {path} of cluster '{self.cluster}'",
                seen=str(error) or type(error).__name__,
                hint="see whether the cluster still runs",
            ) from error
        return socket

    def _ssl_options(self) -> dict[str, Any]:
        if self.tls is None:
            return {}
        options: dict[str, Any] = {
            "context": self.tls,
            "cert_reqs": self.tls.verify_mode,
            "check_hostname": self.tls.check_hostname,
        }
        if getattr(self.configuration, "tls_server_name", None):
            options["server_hostname"] = self.configuration.tls_server_name
        return options

    def _proxy_options(self) -> dict[str, Any]:
        """Use the proxy that the kubernetes client would use, and none that the environment names besides."""
        proxy = urlsplit(self.configuration.proxy or "")
        host = urlsplit(self.configuration.host).hostname or ""
        if not proxy.hostname or is_loopback(host):
            # websocket-client listens to http_no_proxy only beside a proxy, and asks the environment without one.
            return {"http_proxy_host": "unused.invalid", "http_proxy_port": 1, "http_no_proxy": ["*"]}
        bypassed = [entry for entry in (self.configuration.no_proxy or "").split(",") if entry]
        return {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "http_no_proxy": bypassed or None}


@contextmanager
def open_api_server(handle: ClusterHandle) -> Iterator[ApiServer]:
    """Yield the API server of a cluster, closing what was opened for it at the end."""
    with handle.api_client() as client:
        configuration = client.configuration
        yield ApiServer(
            handle.name,
            kubernetes_client.CoreV1Api(client),
            kubernetes_client.AppsV1Api(client),
            configuration,
            _tls(configuration),
        )


def _tls(configuration: Any) -> ssl.SSLContext | None:
    """Return the TLS context the kubernetes client's configuration describes, made once for all connections."""
    if not configuration.host.startswith("https:"):
        return None
    # Not ssl.create_default_context: from Python 3.13 on it insists on extensions (VERIFY_X509_STRICT) that the
    # certificates of older clusters lack.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif configuration.ssl_ca_cert:
        context.load_verify_locations(configuration.ssl_ca_cert)
    else:
        context.load_default_certs()
    if configuration.assert_hostname is False:
        context.check_hostname = False
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
