"""A cluster that is there already, named by a kubeconfig and a context."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from harness.cleanup import CleanupStack
from harness.cluster import kubeconfig
from harness.cluster.provider import ClusterHandle, ClusterSpec
from harness.cluster.readiness import server_version
from harness.cluster.watching import read_json
from harness.errors import ClusterNotReadyError, ContextRefusedError
from harness.naming import LABEL_OWNER, Run, dns_label, owner_host, owner_is_alive
from harness.settings.model import ClusterSettings

# A cloud's API server answers within a second or two; one behind a VPN that is down never does.
_ANSWER_TIMEOUT_S = 10.0

# How the directories of private kubeconfigs begin: with a dot, so that none is taken for that of a cluster of ours.
_PRIVATE = ".existing"

_FORBIDDEN, _UNAUTHORISED = 403, 401

# Words that mean production when they stand alone in a name ("eu-prod-1", "Production"), and what takes it back
# when it stands before them ("non-prod", "preprod").
_PRODUCTION = re.compile(r"(?i)(?:^|[^a-z])(?P<before>(?:non|pre|not)[^a-z]?)?(?:prod|production|prd|live)(?![a-z])")


class ExistingProvider:
    """Uses a cluster that Seatrial did not make and never removes.

    The kubeconfig named in the settings is read, never written: handles point at a private copy that holds the chosen
    context alone, so that nothing can reach another cluster by accident.

    Args:
        kubectl: returns the kubectl that handles will name, for the server's version.
        cleanup: gets the removal of the private kubeconfig.
        run: who uses the cluster.
        settings: the cluster slice of the settings.
        state_dir: parent of the private kubeconfig's directory.
    """

    def __init__(
        self,
        *,
        kubectl: Callable[[str], Path],
        cleanup: CleanupStack,
        run: Run,
        settings: ClusterSettings,
        state_dir: Path,
    ) -> None:
        self._kubectl = kubectl
        self._cleanup = cleanup
        self._run = run
        self._settings = settings
        self._state_dir = state_dir

    def create(self, name: str, spec: ClusterSpec) -> ClusterHandle:
        """Return a handle on the cluster of the chosen context; `name` and `spec` are of no consequence to it.

        Raises:
            ContextRefusedError: no context, or no kubeconfig, is named; the context is missing, defined twice, or looks
                like production.
            ClusterError: the kubeconfig is missing or malformed.
            ClusterNotReadyError: the API server cannot be reached or does not let this user in.
        """
        del name, spec
        context = self._chosen()
        private = self._private_path(context)
        _forget_abandoned(self._state_dir)
        self._cleanup.push(f"private kubeconfig of context '{context.name}'", lambda: _forget(private))
        kubeconfig.write_private(private, context.document())
        handle = ClusterHandle(
            name=dns_label(context.name),
            provider="existing",
            kubeconfig=private,
            context=context.name,
            kubectl=self._kubectl(""),
            reused=True,
        )
        return self._reached(handle, context)

    def delete(self, handle: ClusterHandle) -> None:
        """Forget the private kubeconfig; the cluster stays."""
        _forget(handle.kubeconfig)

    def diagnose(self, handle: ClusterHandle) -> str:
        """See :meth:`ClusterProvider.diagnose`."""
        try:
            with closing(handle.api_client()) as api:
                server_version(api, timeout_s=_ANSWER_TIMEOUT_S)
        except (ApiException, HTTPError, ConfigException, OSError) as error:
            return f"the API server of context '{handle.context}' does not answer: {_reason(error)}"
        return ""

    def collect_logs(self, handle: ClusterHandle, directory: Path) -> Sequence[Path]:
        """Return nothing: the nodes of a cluster that is not ours are not ours to enter."""
        del handle, directory
        return ()

    def _chosen(self) -> kubeconfig.Context:
        path, name = self._settings.kubeconfig, self._settings.context
        if path is None or not name:
            missing = " and ".join(what for what, given in (("a kubeconfig", path), ("a context", name)) if not given)
            raise ContextRefusedError(
                "use an existing cluster",
                seen=f"{missing} must be named: the current context is never used",
                hint="name both, e.g. --kubeconfig ~/.kube/config --kube-context NAME",
            )
        document = kubeconfig.read(path)
        known = kubeconfig.context_names(document)
        if known.count(name) != 1:
            raise ContextRefusedError(
                f"use context '{name}' of '{path}'",
                seen=f"it is {'there more than once' if name in known else 'not there'}; "
                f"there are: {', '.join(map(repr, known)) or 'none'}",
                hint="name one that is there once with --kube-context",
            )
        context = kubeconfig.select(document, name, path=path)
        self._refuse_production(context)
        return context

    def _refuse_production(self, context: kubeconfig.Context) -> None:
        if self._settings.allow_production:
            return
        parts = {
            "context": context.name,
            "cluster": context.cluster_name,
            "namespace": context.namespace,
            "server": context.server,
        }
        suspicious = [f"{part} '{text}'" for part, text in parts.items() if looks_like_production(text)]
        if suspicious:
            raise ContextRefusedError(
                f"use context '{context.name}'",
                seen=f"it looks like production: {', '.join(suspicious)}",
                hint="tests create and delete things; if that is meant, say --allow-production",
            )

    def _private_path(self, context: kubeconfig.Context) -> Path:
        # Two contexts may make the same DNS label; a digest of the name tells them apart.
        digest = hashlib.sha256(context.name.encode()).hexdigest()[:8]
        owner = self._run.labels()[LABEL_OWNER]
        return self._state_dir / f"{_PRIVATE}-{owner_host()}-{owner}-{digest}" / "kubeconfig"

    def _reached(self, handle: ClusterHandle, context: kubeconfig.Context) -> ClusterHandle:
        try:
            with closing(handle.api_client()) as api:
                version = server_version(api, timeout_s=_ANSWER_TIMEOUT_S)
                nodes = _node_names(api)
        except (ApiException, HTTPError, ConfigException, OSError) as error:
            raise ClusterNotReadyError(
                f"reach the API server '{context.server}' of context '{context.name}'",
                seen=_reason(error),
                hint=f"try kubectl --kubeconfig {self._settings.kubeconfig} --context {context.name} version",
            ) from error
        kubectl = self._kubectl(version)
        return ClusterHandle(**{**vars(handle), "kubernetes": version, "kubectl": kubectl, "nodes": nodes})


def looks_like_production(text: str) -> bool:
    """Whether a name or address holds a word that means production.

    >>> [looks_like_production(name) for name in ("eu-prod-1", "non-prod", "product-team")]
    [True, False, False]
    """
    return any(match["before"] is None for match in _PRODUCTION.finditer(text))


def _node_names(api: client.ApiClient) -> tuple[str, ...]:
    """Return the node names, none where this user may not list nodes."""
    try:
        found: Any = read_json(client.CoreV1Api(api).list_node, timeout_s=_ANSWER_TIMEOUT_S)
    except ApiException as error:
        if error.status == _FORBIDDEN:
            return ()
        raise
    return tuple(sorted(node["metadata"]["name"] for node in found["items"]))


def _reason(error: Exception) -> str:
    """Say in one line why the API server could not be used."""
    if isinstance(error, ApiException):
        if error.status in {_UNAUTHORISED, _FORBIDDEN}:
            return f"it does not let this user in ({error.status} {error.reason})"
        return f"it answered {error.status} {error.reason}"
    reason = getattr(error, "reason", None)
    return str(reason or error)


def _forget(private: Path) -> None:
    shutil.rmtree(private.parent, ignore_errors=True)


def _forget_abandoned(directory: Path) -> None:
    """Remove the private kubeconfigs of this host's runs that were killed."""
    for path in directory.glob(f"{_PRIVATE}-{owner_host()}-*"):
        if not owner_is_alive(path.name.split("-")[2]):
            shutil.rmtree(path, ignore_errors=True)
