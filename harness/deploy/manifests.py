"""Deploying manifests: documents as they are, applied with kubectl."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness.commands import kubectl
from harness.commands.kubectl import Applied, Refusal
from harness.deploy.deployer import LabellingDeployer
from harness.deploy.release import Release, ResourceRef
from harness.deploy.rollout import WORKLOADS
from harness.deploy.watching import ApiStatusError, reading
from harness.errors import CommandError, DeployError, ManifestError
from harness.images.reference import ImageRef
from harness.wait import Deadline, wait_until

SUFFIXES = (".yaml", ".yml", ".json")

# Built-in kinds that live in no namespace (kubectl api-resources --namespaced=false, Kubernetes 1.34). A custom
# kind's scope is read from its definition when that is among the same documents.
CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "CSIDriver",
        "CSINode",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IngressClass",
        "IPAddress",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)

# Where a kind keeps its pod template.
_POD_SPEC: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a date is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Document:
    """One Kubernetes object as its author wrote it.

    Args:
        body: the parsed object.
        file: where it was written, ``<text>`` or ``<documents>`` when in no file.
        line: 1-based line where it starts; for documents given as dicts, its position.
    """

    body: Mapping[str, Any]
    file: str
    line: int

    @property
    def kind(self) -> str:
        """E.g. ``Deployment``."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return str(self.body["metadata"]["name"])

    @property
    def where(self) -> str:
        """E.g. ``app.yaml:12``."""
        return f"{self.file}:{self.line}"

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name} ({self.where})"


@dataclass(frozen=True)
class Manifest:
    """Documents ready to apply: well formed, each with kind, name and apiVersion.

    Args:
        documents: in their author's order.
    """

    documents: tuple[Document, ...]

    @classmethod
    def load(cls, source: Path | str | Sequence[Mapping[str, Any]] | Manifest) -> Manifest:
        """Read documents and check their form.

        Args:
            source: a file, a directory of files (read in the order of their names), YAML or JSON text, or documents.

        Raises:
            ManifestError: there is no such file, it is no YAML, a document lacks kind, apiVersion or name, or there
                is no document at all.
        """
        if isinstance(source, Manifest):
            return source
        if isinstance(source, Path):
            found = [document for file in _files(source) for document in _documents(_read(file), str(file))]
            origin = str(source)
        elif isinstance(source, str):
            found, origin = list(_documents(source, "<text>")), "<text>"
        else:
            origin = "<documents>"
            found = [document for number, body in enumerate(source, 1) for document in _checked(body, origin, number)]
        if not found:
            raise ManifestError(
                "read the manifest",
                file=origin,
                seen="it holds no document",
                hint="give at least one Kubernetes object",
            )
        return cls(tuple(found))

    @property
    def bodies(self) -> tuple[Mapping[str, Any], ...]:
        """The parsed objects."""
        return tuple(document.body for document in self.documents)

    def with_image(self, old: str, new: ImageRef | str) -> Manifest:
        """Return the manifest with image `old` replaced by `new` in every container that names exactly `old`.

        Raises:
            DeployError: no container does; the message lists the images that are named.
        """
        name = new.name if isinstance(new, ImageRef) else new
        images: list[str] = []
        changed = tuple(replace(item, body=_replace_image(item.body, old, name, images)) for item in self.documents)
        if old not in images:
            raise DeployError(
                f"use image '{name}' in place of '{old}'",
                seen=f"no container names it; named are {', '.join(sorted(set(images))) or 'none'}",
                hint="give the image exactly as the manifest spells it",
            )
        return Manifest(changed)

    def with_labels(self, labels: Mapping[str, str]) -> Manifest:
        """Return the manifest with `labels` added to every document's own metadata (not to pod templates)."""

        def labelled(body: Mapping[str, Any]) -> Mapping[str, Any]:
            metadata = body["metadata"]
            return {**body, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}

        return Manifest(tuple(replace(item, body=labelled(item.body)) for item in self.documents))

    def in_order(self) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
        """Return what must be there first (namespaces, then definitions of custom kinds), then the rest, in order."""
        namespaces = tuple(item for item in self.documents if item.kind == "Namespace")
        definitions = tuple(item for item in self.documents if item.kind == "CustomResourceDefinition")
        first = (*namespaces, *definitions)
        return first, tuple(item for item in self.documents if item not in first)

    def refs(self, namespace: str) -> tuple[ResourceRef, ...]:
        """Name the objects in the order they are made; those that name no namespace go to `namespace`."""
        first, rest = self.in_order()
        scoped = {
            item.body["spec"]["names"]["kind"]
            for item in first
            if item.kind == "CustomResourceDefinition" and item.body.get("spec", {}).get("scope") == "Cluster"
        } | CLUSTER_SCOPED
        return tuple(
            ResourceRef(
                item.kind,
                item.name,
                "" if item.kind in scoped else item.body["metadata"].get("namespace") or namespace,
                str(item.body["apiVersion"]),
            )
            for item in (*first, *rest)
        )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files:
        hint = f"name the files *{', *'.join(SUFFIXES)}"
        raise ManifestError("read the manifests", file=str(path), seen="the directory holds none", hint=hint)
    return files


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(
            "read the manifest", file=str(file), seen=error.strerror or str(error), hint="correct the path"
        ) from error
    except UnicodeDecodeError as error:
        raise ManifestError(
            "read the manifest", file=str(file), seen="it is not UTF-8 text", hint=str(error)
        ) from error


def _documents(text: str, file: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        while loader.check_node() and (node := loader.get_node()) is not None:
            _refuse_duplicate_keys(node, file)
            body = loader.construct_document(node)
            if body is not None:
                yield from _checked(body, file, node.start_mark.line + 1)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ManifestError(
            "read the manifest",
            file=file,
            line=mark.line + 1 if mark else 0,
            seen=f"this is no YAML: {error.problem or error.context}",
            hint="correct the indentation and quotes there",
        ) from error
    except yaml.YAMLError as error:
        raise ManifestError(
            "read the manifest",
            file=file,
            seen=f"this is no YAML: {error}",
            hint="take out what is no printable text",
        ) from error
    finally:
        loader.dispose()


def _refuse_duplicate_keys(node: yaml.Node, file: str) -> None:
    """YAML forbids them, PyYAML takes the last, the API server would refuse the document."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicate_keys(item, file)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen and key.value != "<<":
                    raise ManifestError(
                        "read the manifest",
                        file=file,
                        line=key.start_mark.line + 1,
                        seen=f"key '{key.value}' is there twice in one mapping",
                        hint="keep one of them",
                    )
                seen.add(key.value)
            _refuse_duplicate_keys(value, file)


def _checked(body: object, file: str, line: int) -> Iterator[Document]:
    """Yield the document, or those of a ``List``, once each names its kind, API version and name."""

    def refuse(seen: str, hint: str) -> ManifestError:
        return ManifestError("read the manifest", file=file, line=line, seen=seen, hint=hint)

    if not isinstance(body, Mapping):
        raise refuse(f"the document is {type(body).__name__}, not a mapping", "start it with apiVersion: and kind:")
    if isinstance(body.get("items"), Sequence) and str(body.get("kind", "")).endswith("List"):
        for item in body["items"]:
            yield from _checked(item, file, line)
        return
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    missing = [
        field
        for field, value in (
            ("apiVersion", body.get("apiVersion")),
            ("kind", body.get("kind")),
            ("metadata.name", name),
        )
        if not (isinstance(value, str) and value)
    ]
    if missing:
        what = f"the {body['kind']}" if "kind" not in missing else "the document"
        raise refuse(f"{what} has no {' and no '.join(missing)}", "every Kubernetes object needs these, as strings")
    yield Document(body, file, line)


def _replace_image(body: Mapping[str, Any], old: str, new: str, images: list[str]) -> Mapping[str, Any]:
    """Return `body` with the image replaced; every image it names is added to `images`."""
    path = _POD_SPEC.get(str(body["kind"]), ())

    def descend(part: Mapping[str, Any], steps: tuple[str, ...]) -> Mapping[str, Any]:
        if steps:
            inner = part.get(steps[0])
            return {**part, steps[0]: descend(inner, steps[1:])} if isinstance(inner, Mapping) else part
        changed = dict(part)
        for group in ("initContainers", "containers"):
            if group in part:
                images.extend(str(item.get("image")) for item in part[group])
                changed[group] = [{**item, "image": new} if item.get("image") == old else item for item in part[group]]
        return changed

    return descend(body, path) if path else body


class ManifestDeployer(LabellingDeployer):
    """Applies manifests with kubectl.

    Args:
        handle: the cluster.
        runner: runs kubectl.
        settings: limits.
        labels: added to every object applied, so that it is known who made it.
        witness: told what is deployed.
    """

    def apply(
        self,
        source: Path | str | Sequence[Mapping[str, Any]] | Manifest,
        *,
        namespace: str = "default",
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Release:
        """Apply documents, namespaces first, then definitions of custom kinds, then the rest in order.

        When the cluster refuses one, those that this call created are deleted again. When the cluster accepts all and
        a workload does not become ready, everything stays to be looked at, until :meth:`delete` or :meth:`close`.

        Args:
            source: see :meth:`Manifest.load`.
            namespace: where documents that name none go.
            wait: whether to wait for the workloads to roll out.
            timeout_s: limit for that, the settings' by default.

        Raises:
            ManifestError: the documents are malformed; nothing was applied.
            DeployError: the cluster refused one; ``facts`` hold document, kind, name, field and reason.
            RolloutError: they were accepted and a workload will not become ready.
        """
        manifest = Manifest.load(source)
        if self._labels:
            manifest = manifest.with_labels(self._labels)
        first, rest = manifest.in_order()
        refs = manifest.refs(namespace)
        main = next((ref for ref in refs if ref.kind in WORKLOADS), refs[0])
        release = Release(
            main.name,
            main.namespace,
            "manifests",
            refs,
            tuple(item.body for item in (*first, *rest)),
            details={"default_namespace": namespace},
        )
        withdraw = self._live.enter(release.namespace, release.name, lambda: self.delete(release))
        self._witness.deployed(release)
        # Custom objects are understood only once their kind is established; namespaces need no call of their own.
        has_definitions = any(item.kind == "CustomResourceDefinition" for item in first)
        applied: list[tuple[Document, str]] = []
        for batch, server_side in ((first, True), (rest, False)) if has_definitions else (((*first, *rest), False),):
            if batch:
                applied += self._apply(batch, namespace, applied, withdraw, server_side=server_side)
            if server_side:
                self._wait_until_established(batch)
        release = replace(release, details={**release.details, "actions": tuple(action for _, action in applied)})
        if wait:
            self.wait(release, timeout_s=timeout_s)
        return release

    def dry_run(
        self, source: Path | str | Sequence[Mapping[str, Any]] | Manifest, *, namespace: str = "default"
    ) -> tuple[Applied, ...]:
        """Have the API server try documents without keeping them, admission and validation included.

        Documents that go into a namespace that is among them and not there yet are tried in `namespace`;
        objects of custom kinds whose definition is not in the cluster yet cannot be tried and are left out.

        Args:
            source: see :meth:`Manifest.load`.
            namespace: where documents that name none go; it has to be there.

        Returns:
            What the server would have done, object by object.

        Raises:
            ManifestError: the documents are malformed.
            DeployError: the server would refuse some; the message holds every refusal, ``facts`` the first.
        """
        manifest = Manifest.load(source)
        namespaces = [item.name for item in manifest.documents if item.kind == "Namespace"]
        with reading(self._api) as reader:
            made = {name for name in namespaces if not reader.exists(ResourceRef("Namespace", name, "", "v1"))}
        bodies = [
            {**body, "metadata": {**body["metadata"], "namespace": namespace}}
            if body["metadata"].get("namespace") in made
            else body
            for body in manifest.bodies
            if self._is_known(str(body["apiVersion"]), str(body["kind"]))
        ]
        placed = _placed(bodies, namespace)
        outcome = self._runner.run(
            self._handle.kubectl_command(
                *kubectl.apply(namespace=_flag(placed, namespace), dry_run="server"), stdin=_as_list(placed)
            )
        )
        if outcome.timed_out or outcome.not_found:
            outcome.check()
        if not outcome.succeeded:
            refusals = kubectl.parse_refusals(outcome.stderr)
            first = refusals[0] if refusals else Refusal(outcome.stderr.strip())
            raise DeployError(
                f"have the API server take {len(placed)} documents",
                seen="\n".join(refusal.message for refusal in refusals) or outcome.stderr,
                hint=_hint_for(first),
                kind=first.kind,
                name=first.name,
                field=first.field,
                reason=first.reason,
            )
        return kubectl.parse_applied(outcome.stdout)

    def _is_known(self, api_version: str, kind: str) -> bool:
        """Whether the API server knows the kind: kubectl tries none of a list that holds one it does not."""
        with reading(self._api) as reader:
            try:
                reader.collection(ResourceRef(kind, "", "", api_version))
            except ApiStatusError:
                return False
        return True

    def delete(self, release: Release, *, timeout_s: float | None = None) -> None:
        """Delete the release's documents in reverse and return when they and their pods are gone.

        Raises:
            WaitTimeoutError: they are not in time; the message says what holds each.
        """
        limit_s = timeout_s or self._settings.rollout_timeout_s
        deadline = Deadline(limit_s)
        self._delete(release.manifest, str(release.details.get("default_namespace", release.namespace)), limit_s)
        self._wait_until_gone(release, deadline)
        self._live.forget(release.namespace, release.name)

    def get_all(self, namespace: str) -> tuple[Mapping[str, Any], ...]:
        """Return what ``kubectl get all`` shows of a namespace."""
        outcome = self._runner.run(self._handle.kubectl_command(*kubectl.get("all", namespace=namespace))).check()
        return tuple(json.loads(outcome.stdout)["items"]) if outcome.stdout.strip() else ()

    def _apply(
        self,
        batch: Sequence[Document],
        namespace: str,
        before: Sequence[tuple[Document, str]],
        withdraw: Callable[[], None],
        *,
        server_side: bool,
    ) -> list[tuple[Document, str]]:
        bodies = _placed([item.body for item in batch], namespace)
        command = self._handle.kubectl_command(
            *kubectl.apply(namespace=_flag(bodies, namespace), server_side=server_side), stdin=_as_list(bodies)
        )
        outcome = self._runner.run(command)
        applied = _matched(batch, kubectl.parse_applied(outcome.stdout))
        if outcome.succeeded:
            return applied
        if outcome.timed_out or outcome.not_found:
            outcome.check()
        refusals = kubectl.parse_refusals(outcome.stderr)
        document = _refused(batch, refusals, [item for item, _ in applied])
        first = refusals[0] if refusals else Refusal(outcome.stderr.strip())
        error = DeployError(
            f"apply {document or 'the manifest'}",
            seen="\n".join(refusal.message for refusal in refusals) or outcome.stderr,
            hint=_hint_for(first),
            document=document.where if document else "",
            kind=document.kind if document else first.kind,
            name=document.name if document else first.name,
            field=first.field,
            reason=first.reason,
            refusals=refusals,
        )
        # CRDs applied server-side are always reported as "serverside-applied": whether they were there before is
        # unknown, so they stay.
        created = [item.body for item, action in (*before, *applied) if action == "created"]
        try:
            if created:
                self._delete(created, namespace, self._settings.rollout_timeout_s)
            withdraw()
        except CommandError as left:
            error.facts["left"] = str(left)
        raise error

    def _delete(self, bodies: Sequence[Mapping[str, Any]], namespace: str, limit_s: float) -> None:
        placed = _placed(list(reversed(bodies)), namespace)
        command = self._handle.kubectl_command(
            *kubectl.delete_documents(timeout_s=limit_s, namespace=_flag(placed, namespace)),
            stdin=_as_list(placed),
            timeout_s=limit_s + 10,
        )
        outcome = self._runner.run(command)
        # A custom object whose definition is gone is gone too; what stays too long is named by wait_for_deletion.
        told = outcome.stderr
        if not outcome.succeeded and "no matches for kind" not in told and "timed out waiting" not in told:
            outcome.check(hint="see `kubectl describe` of the object")

    def _wait_until_established(self, batch: Sequence[Document]) -> None:
        for document in batch:
            if document.kind != "CustomResourceDefinition":
                continue
            ref = ResourceRef(document.kind, document.name, "", str(document.body["apiVersion"]))
            with reading(self._api) as reader:
                # Establishing takes some 100 ms and happens once per definition: not worth a watch.
                wait_until(
                    f"see {ref} established",
                    lambda ref=ref, reader=reader: reader.find(ref),  # type: ignore[misc] # mypy types no defaults
                    done=_is_established,
                    timeout_s=30,
                    poll_interval_s=0.05,
                )


_HINTS = {
    "NotFound": "apply what the document refers to first, e.g. its namespace",
    "Forbidden": "see the namespace's quotas and admission rules, and the user's roles",
    "NoMatch": "correct apiVersion and kind, or apply the definition of the custom kind first",
    "Conflict": "the object was changed meanwhile: apply again",
}


def _hint_for(refusal: Refusal) -> str:
    if refusal.kind or refusal.field:
        return _HINTS.get(refusal.reason, "correct the document")
    return _HINTS.get(refusal.reason, "does the cluster answer (`kubectl version`)?")


def _as_list(bodies: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})


def _placed(bodies: Sequence[Mapping[str, Any]], namespace: str) -> list[Mapping[str, Any]]:
    """Say outright where documents that name no namespace go, if others of them do.

    kubectl's --namespace does it better, knowing every kind's scope, but refuses documents that name another one.
    """
    if not any(body["metadata"].get("namespace") for body in bodies):
        return list(bodies)
    refs = Manifest(tuple(Document(body, "", 0) for body in bodies)).refs(namespace)
    scopes = {(ref.kind, ref.name): ref.namespace for ref in refs}
    return [
        {**body, "metadata": {**body["metadata"], "namespace": scopes[body["kind"], body["metadata"]["name"]]}}
        if scopes[body["kind"], body["metadata"]["name"]] and not body["metadata"].get("namespace")
        else body
        for body in bodies
    ]


def _flag(bodies: Sequence[Mapping[str, Any]], namespace: str) -> str:
    return "" if any(body["metadata"].get("namespace") for body in bodies) else namespace


def _is_established(definition: Any) -> bool:
    conditions = (definition or {}).get("status", {}).get("conditions", ())
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def _matched(batch: Sequence[Document], lines: Sequence[Applied]) -> list[tuple[Document, str]]:
    """Pair kubectl's report with the documents; it reports in the order they were given."""
    left = list(batch)
    pairs = []
    for line in lines:
        document = next((item for item in left if (item.kind.lower(), item.name) == (line.kind, line.name)), None)
        if document is not None:
            left.remove(document)
            pairs.append((document, line.action))
    return pairs


def _refused(batch: Sequence[Document], refusals: Sequence[Refusal], applied: Sequence[Document]) -> Document | None:
    """The document that the first refusal is about: the one it names, else the first that was not applied."""
    left = [item for item in batch if item not in applied] or list(batch)
    for refusal in refusals:
        for item in left:
            kind_fits = not refusal.kind or refusal.kind.partition(".")[0].rstrip("s") == item.kind.lower().rstrip("s")
            if (kind_fits or refusal.kind == item.kind) and refusal.name == item.name:
                return item
        for item in left:
            if refusal.kind == item.kind:
                return item
    return left[0] if left else None
