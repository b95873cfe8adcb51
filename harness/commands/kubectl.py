"""kubectl: argument builders and output parsers; nothing here runs anything.

Builders return what follows the program's name; :meth:`harness.cluster.provider.ClusterHandle.kubectl_command` puts
program, context and kubeconfig in front. Checked against kubectl 1.34.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Args = tuple[str, ...]


def _namespace(namespace: str) -> Args:
    return ("--namespace", namespace) if namespace else ()


def _go_seconds(seconds: float) -> str:
    """Seconds as Go's duration flags spell them, e.g. ``90s``."""
    return f"{seconds:g}s"


def create_deployment(
    name: str, image: str, *, namespace: str = "", replicas: int = 1, port: int | None = None, dry_run: str = ""
) -> Args:
    """``kubectl create deployment``.

    Args:
        name: the deployment's name; its pods get the label ``app=<name>``.
        image: reference of the container image.
        namespace: where; empty for the context's default.
        replicas: number of pods.
        port: container port to declare.
        dry_run: ``client`` or ``server`` to make nothing.
    """
    return (
        "create",
        "deployment",
        name,
        f"--image={image}",
        f"--replicas={replicas}",
        *((f"--port={port}",) if port is not None else ()),
        *((f"--dry-run={dry_run}",) if dry_run else ()),
        *_namespace(namespace),
        "--output=json",
    )


def expose_deployment(
    deployment: str,
    *,
    port: int,
    namespace: str = "",
    name: str = "",
    target_port: int | None = None,
    service_type: str = "ClusterIP",
) -> Args:
    """``kubectl expose deployment``.

    Args:
        deployment: whose pods the Service selects.
        port: port of the Service.
        namespace: where; empty for the context's default.
        name: the Service's name; empty for the deployment's.
        target_port: port of the container, `port` by default.
        service_type: ``ClusterIP``, ``NodePort`` or ``LoadBalancer``.
    """
    return (
        "expose",
        "deployment",
        deployment,
        f"--port={port}",
        *((f"--target-port={target_port}",) if target_port is not None else ()),
        f"--type={service_type}",
        *((f"--name={name}",) if name else ()),
        *_namespace(namespace),
        "--output=json",
    )


def rollout_status(kind: str, name: str, *, timeout_s: float, namespace: str = "") -> Args:
    """``kubectl rollout status``, ending by itself after `timeout_s` seconds."""
    return ("rollout", "status", f"{kind}/{name}", f"--timeout={_go_seconds(timeout_s)}", *_namespace(namespace))


def get(
    *resources: str, namespace: str = "", all_namespaces: bool = False, selector: str = "", output: str = "json"
) -> Args:
    """``kubectl get``.

    Args:
        resources: ``pods``, ``deployment/NAME``, ``all``...
        namespace: where; empty for the context's default.
        all_namespaces: look in all of them.
        selector: label selector.
        output: ``json``, ``yaml``, ``name``, ``wide``; empty for the table people read.
    """
    return (
        "get",
        *resources,
        *(("--all-namespaces",) if all_namespaces else _namespace(namespace)),
        *((f"--selector={selector}",) if selector else ()),
        *((f"--output={output}",) if output else ()),
        "--ignore-not-found",
    )


def delete(*resources: str, timeout_s: float, namespace: str = "") -> Args:
    """``kubectl delete KIND/NAME...`` that returns when the objects and all they own are gone."""
    return ("delete", *resources, *_namespace(namespace), *_until_gone(timeout_s))


def delete_labelled(kinds: str, selector: str, *, namespace: str, timeout_s: float) -> Args:
    """``kubectl delete`` of what a label selector finds, if anything, until it and all it owns are gone."""
    return ("delete", kinds, f"--selector={selector}", *_namespace(namespace), *_until_gone(timeout_s))


def delete_namespace(name: str) -> Args:
    """``kubectl delete namespace`` that returns at once."""
    return ("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def delete_controllers(*, namespace: str) -> Args:
    """``kubectl delete`` of what makes pods, leaving the pods, that returns at once."""
    return (
        "delete",
        "deployments,replicasets,jobs,cronjobs",
        "--all",
        *_namespace(namespace),
        "--cascade=orphan",
        "--wait=false",
    )


def delete_pods(*, namespace: str, grace_s: int, timeout_s: float) -> Args:
    """``kubectl delete pods --all`` that returns when they are gone; they get `grace_s` seconds to end themselves."""
    return (
        "delete",
        "pods",
        "--all",
        *_namespace(namespace),
        f"--grace-period={grace_s}",
        f"--timeout={_go_seconds(timeout_s)}",
    )


def forget_pods(*, namespace: str) -> Args:
    """``kubectl delete pods --all --force``: the API server lets go of them at once, whatever their containers do."""
    return ("delete", "pods", "--all", *_namespace(namespace), "--grace-period=0", "--force", "--wait=false")


def drain(node: str, *, timeout_s: float) -> Args:
    """``kubectl drain``: evict a node's pods, as disruption budgets allow; daemons stay, emptied directories go."""
    return (
        "drain",
        node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        f"--timeout={_go_seconds(timeout_s)}",
    )


def uncordon(node: str) -> Args:
    """``kubectl uncordon``: let a node take pods again."""
    return ("uncordon", node)


def apply(*, namespace: str = "", server_side: bool = False, dry_run: str = "") -> Args:
    """``kubectl apply`` of documents on standard input.

    Args:
        namespace: where documents that name none go.
        server_side: let the server merge; needed for documents too long for the last-applied annotation (CRDs).
        dry_run: ``client`` or ``server`` to make nothing.
    """
    return (
        "apply",
        "--filename=-",
        *(("--server-side", "--force-conflicts") if server_side else ()),
        *((f"--dry-run={dry_run}",) if dry_run else ()),
        *_namespace(namespace),
    )


def delete_documents(*, timeout_s: float, namespace: str = "") -> Args:
    """``kubectl delete`` of documents on standard input, in their order, until they and all they own are gone."""
    return ("delete", "--filename=-", *_namespace(namespace), *_until_gone(timeout_s))


def _until_gone(timeout_s: float) -> Args:
    # Foreground: a Deployment counts as gone when its pods are, so that "nothing left" is true on return.
    return ("--ignore-not-found", "--cascade=foreground", "--wait=true", f"--timeout={_go_seconds(timeout_s)}")


def logs(target: str, *, namespace: str = "", container: str = "", previous: bool = False, tail: int = -1) -> Args:
    """``kubectl logs`` of ``POD`` or ``KIND/NAME``; `tail` lines from the end, -1 for all."""
    return (
        "logs",
        target,
        *((f"--container={container}",) if container else ()),
        *(("--previous",) if previous else ()),
        f"--tail={tail}",
        *_namespace(namespace),
    )


def create_job_from_cronjob(name: str, cronjob: str, *, namespace: str = "") -> Args:
    """``kubectl create job --from``: run a schedule's Job now."""
    return ("create", "job", name, f"--from=cronjob/{cronjob}", *_namespace(namespace))


def describe(*resources: str, namespace: str = "") -> Args:
    """``kubectl describe``."""
    return ("describe", *resources, *_namespace(namespace))


def cluster_info() -> Args:
    """``kubectl cluster-info``."""
    return ("cluster-info",)


def config_get_contexts() -> Args:
    """``kubectl config get-contexts``; read it with :func:`parse_contexts`."""
    return ("config", "get-contexts")


def config_current_context() -> Args:
    """``kubectl config current-context``."""
    return ("config", "current-context")


def config_use_context(context: str) -> Args:
    """``kubectl config use-context``."""
    return ("config", "use-context", context)


def config_set_context(context: str, *, namespace: str) -> Args:
    """``kubectl config set-context``: give `context` a default namespace; empty takes it away again."""
    return ("config", "set-context", context, f"--namespace={namespace}")


def config_flatten() -> Args:
    """``kubectl config view`` of all files in KUBECONFIG as one self-contained document."""
    return ("config", "view", "--flatten", "--raw", "--output=yaml")


@dataclass(frozen=True)
class Context:
    """A context of a kubeconfig.

    Args:
        name: the context's name.
        cluster: its cluster entry.
        user: its user entry.
        namespace: its default namespace, empty when it has none.
        is_current: whether it is the current context.
    """

    name: str
    cluster: str
    user: str
    namespace: str = ""
    is_current: bool = False


_CONTEXT_COLUMNS = ("CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE")


def parse_contexts(stdout: str) -> tuple[Context, ...]:
    """Read the table of ``kubectl config get-contexts``, cut at the header's columns because cells may be empty."""
    lines = stdout.splitlines()
    if not lines:
        return ()
    starts = [lines[0].index(column) for column in _CONTEXT_COLUMNS]
    ends = [*starts[1:], None]
    contexts = []
    for line in lines[1:]:
        current, name, cluster, user, namespace = (
            line[start:end].strip() for start, end in zip(starts, ends, strict=True)
        )
        contexts.append(Context(name, cluster, user, namespace, is_current=current == "*"))
    return tuple(contexts)


@dataclass(frozen=True)
class Applied:
    """One line of ``kubectl apply``'s report.

    Args:
        kind: lower-case kind, e.g. ``deployment``.
        group: API group, empty for the core group.
        name: the object's name.
        action: ``created``, ``configured``, ``unchanged`` or ``serverside-applied``.
    """

    kind: str
    group: str
    name: str
    action: str


_APPLIED = re.compile(
    r"^(?P<kind>[a-z0-9]+)(?:\.(?P<group>[a-z0-9.-]+))?/(?P<name>\S+) "
    r"(?P<action>created|configured|unchanged|serverside-applied)\b",
    re.MULTILINE,
)


def parse_applied(stdout: str) -> tuple[Applied, ...]:
    """Read what ``kubectl apply`` did, object by object in order; lines that say something else are passed over."""
    return tuple(
        Applied(match["kind"], match["group"] or "", match["name"], match["action"])
        for match in _APPLIED.finditer(stdout)
    )


@dataclass(frozen=True)
class Refusal:
    """Why the server or kubectl refused an object.

    Args:
        message: the whole message.
        kind: the object's kind as the message spells it, empty when it does not say.
        name: the object's name, likewise.
        field: path of the offending field, e.g. ``spec.replicas``, likewise.
        reason: the API's reason, e.g. ``Forbidden``, likewise.
    """

    message: str
    kind: str = ""
    name: str = ""
    field: str = ""
    reason: str = ""


# The shapes of kubectl 1.34's messages, each seen on a real cluster (see tests/unit/commands/test_kubectl.py).
_SERVER_ERROR = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: (?P<rest>.*)", re.DOTALL)
# Webhooks that refuse an object do not always know its name.
_INVALID = re.compile(r'^(?:The )?(?P<kind>[A-Z]\w+)[\w.]* "(?P<name>[^"]*)" is invalid: (?P<rest>.*)', re.DOTALL)
_CREATING = re.compile(r"^error: failed to \w+ \w+: ")
_UNMAPPED = re.compile(r'resource mapping not found for name: "(?P<name>[^"]*)".*no matches for kind "(?P<kind>\w+)"')
_UNKNOWN_FIELD = re.compile(r'(?:unknown|duplicate) field "(?P<field>[^"]+)"')
_WRONG_TYPE = re.compile(r"json: cannot unmarshal \w+ into Go struct field \w+\.(?P<field>[\w.]+)")
_FIELD = re.compile(
    r"(?:^|\s|\* )(?P<field>[a-z]\w*(?:[.\[][\w.\[\]\"/-]*)?): (?:Invalid|Required|Unsupported|Forbidden|Duplicate|Too)"
)
_VALIDATION = re.compile(
    r"ValidationError\((?P<kind>\w+?)(?:\.(?P<path>[\w.\[\]]+))?\): "
    r'(?:unknown field|missing required field) "(?P<field>[^"]+)"'
)
_OBJECT_IN = re.compile(r"^(?P<kind>[A-Z]\w+) in version ")
_RESOURCE = re.compile(
    r'^(?P<kind>[a-z][\w.]*) "(?P<name>[^"]+)" (?P<why>is forbidden|not found|already exists|is invalid)'
)
_REASONS = {
    "is forbidden": "Forbidden",
    "not found": "NotFound",
    "already exists": "AlreadyExists",
    "is invalid": "Invalid",
}
_NEW_MESSAGE = re.compile(r'^(?=Error from server|error: |The \w+ "|resource mapping not found)', re.MULTILINE)


def parse_refusals(stderr: str) -> tuple[Refusal, ...]:
    """Split kubectl's standard error into refusals, with kind, name and field where the message tells them."""
    texts = [text.strip() for text in _NEW_MESSAGE.split(stderr)]
    return tuple(_refusal(text) for text in texts if text and not text.startswith("Warning:"))


def _refusal(text: str) -> Refusal:
    found: dict[str, str] = {}
    rest = _CREATING.sub("", text)
    if match := _INVALID.match(rest):
        found |= {"kind": match["kind"], "name": match["name"], "reason": "Invalid"}
        rest = match["rest"]
    elif match := _UNMAPPED.search(text):
        found |= {"kind": match["kind"], "name": match["name"], "reason": "NoMatch"}
    elif match := _VALIDATION.search(text):
        path = ".".join(part for part in (match["path"], match["field"]) if part)
        return Refusal(text, match["kind"], field=path, reason="Invalid")
    elif match := _SERVER_ERROR.match(text):
        found["reason"] = match["reason"] or ""
        rest = re.sub(r'^error when \w+ "[^"]*": ', "", match["rest"])
        found |= _named((_OBJECT_IN.match(rest),))
    if match := _RESOURCE.match(rest):
        found |= {"kind": match["kind"], "name": match["name"], "reason": found.get("reason") or _REASONS[match["why"]]}
    found |= _named((_UNKNOWN_FIELD.search(rest), _WRONG_TYPE.search(rest), _FIELD.search(rest)))
    return Refusal(text, **found)


def _named(matches: Sequence[re.Match[str] | None]) -> Mapping[str, str]:
    """The named groups of the first pattern that matched."""
    return next((match.groupdict() for match in matches if match), {})
