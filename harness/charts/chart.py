"""A chart as its author wrote it, read without Helm: from a directory or a packaged archive."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from harness.charts import declaration, yaml_text
from harness.charts.declaration import Case, Declaration
from harness.charts.semver import Version
from harness.commands.helm import merged_values
from harness.errors import ChartError

METADATA = "Chart.yaml"
VALUES = "values.yaml"
VALUES_SCHEMA = "values.schema.json"
# The name of the values set that adds nothing to values.yaml.
DEFAULT = "default"
# Directories of a chart that hold no text of its own worth reading.
_SKIPPED_DIRECTORIES = frozenset({".git", "__pycache__", "node_modules"})
# A chart's texts are small: what is larger is data.
_TEXT_MAX_BYTES = 1_000_000

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class ChartFile:
    """A text of a chart: its path within the chart and its content."""

    path: str
    text: str


@dataclass(frozen=True)
class Dependency:
    """One entry of Chart.yaml's ``dependencies``.

    Args:
        name: the chart's name.
        version: the range asked for.
        repository: where it comes from: ``file://``, ``https://``, ``oci://``, ``@alias`` or empty.
        alias: the name it goes by in the parent.
        conditions: values that switch it on.
        imports: the parent's paths that its ``import-values`` fill; ``None`` when that cannot be said from here.
        line: where it stands in Chart.yaml, 1-based.
    """

    name: str
    version: str = ""
    repository: str = ""
    alias: str = ""
    conditions: tuple[str, ...] = ()
    imports: tuple[str, ...] | None = ()
    line: int = 0

    @property
    def key(self) -> str:
        """The key of its values in the parent."""
        return self.alias or self.name

    def directory(self, chart: Path) -> Path | None:
        """Where its ``file://`` repository is, seen from the directory of the chart that asks for it."""
        if not self.repository.startswith("file://"):
            return None
        return Path(os.path.normpath(chart / self.repository.removeprefix("file://")))


@dataclass(frozen=True)
class Written:
    """Values as they stand in one place.

    Args:
        values: they.
        file: the file, as a finding names it.
        text: all of the file, for lines.
        at: the keys that lead to them; none in a values file.
    """

    values: Mapping[str, Any]
    file: str
    text: str
    at: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValuesSet:
    """One set of values a chart is rendered with.

    Args:
        name: ``default``, ``ci/x.yaml``, a case's name, or that with one of its steps: ``CASE/upgrade``.
        files: values files, in the order they are merged.
        inline: merged last.
        release: the release's name.
        namespace: where it goes.
        api_versions: what the cluster serves besides Kubernetes' own.
        written: where it all stands, in the same order.
    """

    name: str
    files: tuple[Path, ...] = ()
    inline: Mapping[str, Any] = field(default_factory=dict)
    release: str = "release"
    namespace: str = "default"
    api_versions: tuple[str, ...] = ()
    written: tuple[Written, ...] = ()


@dataclass(frozen=True)
class Metadata:
    """Chart.yaml.

    Args:
        name: the chart's name.
        version: its version.
        type: a library has no objects of its own.
        app_version: of what it deploys.
        kube_version: the Kubernetes versions it wants, empty for all.
        dependencies: the charts it is made of.
    """

    name: str
    version: Version
    type: Literal["application", "library"] = "application"
    app_version: str = ""
    kube_version: str = ""
    dependencies: tuple[Dependency, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart with the charts it is made of.

    Args:
        path: its directory or archive.
        metadata: its Chart.yaml.
        values: its values.yaml.
        values_text: the same as text, for lines.
        schema: its values.schema.json.
        templates: everything in templates/.
        crds: everything in crds/.
        others: its other texts, which templates may read.
        subcharts: by the key of their values: those in charts/, and those a ``file://`` repository names.
        missing: dependencies that are neither.
        unvendored: keys of those that only their repository has: Helm wants them in charts/.
        sets: the values it is to be tried with.
        declaration: its seatrial.yaml.
    """

    path: Path
    metadata: Metadata
    values: Mapping[str, Any]
    values_text: str
    schema: Mapping[str, Any] | None
    templates: tuple[ChartFile, ...]
    crds: tuple[ChartFile, ...]
    others: tuple[ChartFile, ...]
    subcharts: Mapping[str, Chart]
    missing: tuple[Dependency, ...]
    unvendored: frozenset[str]
    sets: tuple[ValuesSet, ...]
    declaration: Declaration

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def is_library(self) -> bool:
        """Whether it has no objects of its own."""
        return self.metadata.type == "library"

    @classmethod
    def load(cls, path: Path) -> Chart:
        """Read a chart's directory or its ``.tgz``.

        Raises:
            ChartError: it is not there or malformed, or its dependencies go in a circle; `file` and `line` say where.
        """
        return _load_path(path, ())

    def file(self, name: str) -> str:
        """Return the path of one of its files as a finding names it."""
        return str(self.path / name)

    def all_charts(self) -> Iterator[Chart]:
        """Yield it and the charts it is made of."""
        yield self
        for subchart in self.subcharts.values():
            yield from subchart.all_charts()


def read_metadata(text: str, file: str) -> Metadata:
    """Read the text of a Chart.yaml.

    Args:
        text: its content.
        file: how errors name it.

    Raises:
        ChartError: it is malformed.
    """
    body = _mapping(text, file, "malformed")
    lines = yaml_text.key_lines(text)

    def problem(key: str, seen: str) -> ChartError:
        return _malformed(file, lines.get((key,), 1), seen)

    for key in ("apiVersion", "name", "version"):
        if body.get(key) is None:
            raise problem(key, f"'{key}' is required and missing")
        if not isinstance(body[key], str):
            raise problem(key, f"'{key}' must be a string, {body[key]!r} is {_kind(body[key])}; quote it")
    try:
        version = Version.parse(body["version"])
    except ValueError as error:
        raise problem("version", str(error)) from None
    kind = body.get("type") or "application"
    if kind not in ("application", "library"):
        raise problem("type", f"'type' must be application or library, not {kind!r}")
    return Metadata(
        body["name"],
        version,
        "library" if kind == "library" else "application",
        str(body.get("appVersion") or ""),
        str(body.get("kubeVersion") or ""),
        _dependencies(body.get("dependencies"), text, file, lines.get(("dependencies",), 1)),
    )


def _dependencies(entries: object, text: str, file: str, line: int) -> tuple[Dependency, ...]:
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise _malformed(file, line, f"'dependencies' must be a list, it is {_kind(entries)}")
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise _malformed(file, line, f"each dependency needs a name, this has none: {entry!r}")
        name = entry["name"]
        at = next(
            (number for number, one in enumerate(text.splitlines(), 1) if number > line and f"name: {name}" in one),
            line,
        )
        found.append(
            Dependency(
                name,
                str(entry.get("version") or ""),
                str(entry.get("repository") or ""),
                str(entry.get("alias") or ""),
                tuple(part.strip() for part in str(entry.get("condition") or "").split(",") if part.strip()),
                _imports(entry.get("import-values")),
                at,
            )
        )
    return tuple(found)


def _imports(entries: object) -> tuple[str, ...] | None:
    """Return the parent's paths; a bare name stands for whatever the subchart exports under it."""
    if not entries:
        return ()
    if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        return tuple(str(entry.get("parent", "")) for entry in entries)
    return None


def _malformed(file: str, line: int, seen: str, problem: str = "malformed", hint: str = "") -> ChartError:
    where = f"{file}:{line}" if line else file
    return ChartError(f"read '{file}'", problem=problem, file=file, line=line, seen=f"{where}: {seen}", hint=hint)


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "empty" if value is None else type(value).__name__)


def _mapping(text: str, file: str, problem: str) -> dict[str, Any]:
    try:
        body = yaml_text.load(text)
    except yaml_text.YamlError as error:
        raise _malformed(file, error.line, str(error), problem) from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise _malformed(file, 1, f"must be a mapping, it is {_kind(body)}", problem)
    return body


# --- reading --------------------------------------------------------------------------------------------------------


def _load_path(path: Path, trail: tuple[Path, ...]) -> Chart:
    here = Path(os.path.normpath(path.absolute()))
    if here in trail:
        circle = " -> ".join(one.name for one in (*trail[trail.index(here) :], here))
        raise _malformed(
            str(trail[-1] / METADATA),
            0,
            f"the dependencies go in a circle: {circle}",
            "dependency",
            "take what they share into a library chart that both depend on",
        )
    if path.is_dir():
        return _load(_read_directory(path), path, (*trail, here))
    if path.is_file():
        return _load(_read_archive(path.read_bytes(), str(path)), path, (*trail, here))
    hint = "give the path of a directory with a Chart.yaml, or of a packaged chart"
    raise _malformed(str(path), 0, "there is no such directory or archive", "missing", hint)


def _read_directory(path: Path) -> Files:
    files = {}
    for folder, folders, names in os.walk(path, followlinks=True):
        folders[:] = sorted(one for one in folders if one not in _SKIPPED_DIRECTORIES)
        for name in sorted(names):
            file = Path(folder, name)
            archive = name.endswith(".tgz") and file.parent.name == "charts"
            if file.is_file() and (archive or file.stat().st_size <= _TEXT_MAX_BYTES):
                files[file.relative_to(path).as_posix()] = file.read_bytes()
    return files


def _read_archive(content: bytes, name: str) -> Files:
    """Return the files of a packaged chart, their paths without the chart's own directory."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            return {
                member.name.partition("/")[2]: opened.read()
                for member in archive.getmembers()
                if member.isfile() and (opened := archive.extractfile(member)) is not None
            }
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _malformed(name, 0, f"not a packaged chart: {error}") from None


def _load(files: Files, path: Path, trail: tuple[Path, ...]) -> Chart:
    """Read a chart from its files; `trail` are the directories that led here."""
    if METADATA not in files:
        hint = "give the path of a directory with a Chart.yaml, or of a packaged chart"
        raise _malformed(str(path), 0, "there is no Chart.yaml in it", "missing", hint)
    metadata = read_metadata(_text(files[METADATA]), str(path / METADATA))
    subcharts, missing, unvendored = _subcharts(metadata, files, path, trail)
    values_text = _text(files.get(VALUES, b""))
    declared = (
        declaration.parse(_text(files[declaration.FILE]), str(path / declaration.FILE))
        if declaration.FILE in files
        else Declaration()
    )
    texts = {name: ChartFile(name, _text(content)) for name, content in files.items() if not _is_binary(content)}
    return Chart(
        path,
        metadata,
        _mapping(values_text, str(path / VALUES), "values"),
        values_text,
        _schema(files, path),
        tuple(text for name, text in texts.items() if name.startswith("templates/")),
        tuple(text for name, text in texts.items() if name.startswith("crds/") and name.endswith((".yaml", ".yml"))),
        tuple(text for name, text in texts.items() if not name.startswith(("templates/", "crds/", "charts/"))),
        subcharts,
        missing,
        unvendored,
        _sets(files, path, metadata.name, declared),
        declared,
    )


def _subcharts(
    metadata: Metadata, files: Files, path: Path, trail: tuple[Path, ...]
) -> tuple[dict[str, Chart], tuple[Dependency, ...], frozenset[str]]:
    """Return the charts a chart is made of, the dependencies that are nowhere, and the keys of those not in charts/."""
    vendored = _vendored(files, path, trail)
    subcharts, missing, unvendored = {}, [], set()
    for dependency in metadata.dependencies:
        directory = dependency.directory(path)
        if dependency.name in vendored:
            subcharts[dependency.key] = vendored[dependency.name]
        elif directory is not None and directory.is_dir():
            subcharts[dependency.key] = _load_path(directory, trail)
            unvendored.add(dependency.key)
        elif directory is not None and path.is_dir():
            raise _malformed(
                str(path / METADATA),
                dependency.line,
                f"dependency '{dependency.name}' comes from '{dependency.repository}', and there is no '{directory}'",
                "dependency",
                "correct the path after file://, which starts from the chart's own directory",
            )
        else:
            missing.append(dependency)
    declared = {dependency.name for dependency in metadata.dependencies}
    subcharts.update({name: chart for name, chart in vendored.items() if name not in declared})
    return subcharts, tuple(missing), frozenset(unvendored)


def _vendored(files: Files, path: Path, trail: tuple[Path, ...]) -> dict[str, Chart]:
    """Return the charts in charts/ by name; Helm leaves out what begins with a dot or an underscore."""
    inner: dict[str, dict[str, bytes]] = {}
    found = []
    for name, content in files.items():
        parts = PurePosixPath(name).parts
        if parts[0] != "charts" or len(parts) == 1 or parts[1].startswith((".", "_")):
            continue
        if len(parts) > 2:  # noqa: PLR2004 - charts/NAME/...
            inner.setdefault(parts[1], {})["/".join(parts[2:])] = content
        elif parts[1].endswith(".tgz"):
            archive = path / "charts" / parts[1]
            found.append(_load(_read_archive(content, str(archive)), archive, trail))
    for name, content_by_name in inner.items():
        if METADATA in content_by_name:
            found.append(_load(content_by_name, path / "charts" / name, trail))
    return {chart.name: chart for chart in found}


def _schema(files: Files, path: Path) -> Mapping[str, Any] | None:
    if VALUES_SCHEMA not in files:
        return None
    file = str(path / VALUES_SCHEMA)
    try:
        schema = json.loads(_text(files[VALUES_SCHEMA]))
    except json.JSONDecodeError as error:
        raise _malformed(file, error.lineno, error.msg, "values") from None
    if not isinstance(schema, dict):
        raise _malformed(file, 1, f"must be an object, it is {_kind(schema)}", "values")
    return schema


def _sets(files: Files, path: Path, name: str, declared: Declaration) -> tuple[ValuesSet, ...]:
    ci = sorted(
        file for file in files if PurePosixPath(file).parent == PurePosixPath("ci") and file.endswith((".yaml", ".yml"))
    )
    declaration_text = _text(files.get(declaration.FILE, b""))

    def in_file(file: str) -> Written:
        content = files.get(os.path.normpath(file))
        outside = path / file
        if content is None and not outside.is_file():
            raise _malformed(str(path / declaration.FILE), 0, f"there is no values file '{file}'", "values")
        text = _text(content if content is not None else outside.read_bytes())
        return Written(_mapping(text, str(outside), "values"), str(outside), text)

    def in_declaration(values: Mapping[str, Any], *at: str) -> Written:
        return Written(values, str(path / declaration.FILE), declaration_text, at)

    def one(set_name: str, names: Sequence[str], said: Sequence[Written], case: Case) -> ValuesSet:
        release = case.release or name
        written = (*(in_file(file) for file in names), *said)
        # Helm cannot read a values file inside an archive.
        merged = said if path.is_dir() else written
        inline: dict[str, Any] = {}
        for part in merged:
            inline = merged_values(inline, part.values)
        kept = tuple(path / file for file in names) if path.is_dir() else ()
        return ValuesSet(set_name, kept, inline, release, case.namespace, case.api_versions, written)

    def of_case(number: int, case: Case) -> Iterator[ValuesSet]:
        own = in_declaration(case.set, "cases", str(number), "set")
        yield one(case.name, case.values, (own,), case)
        taken: set[str] = set()
        for step in case.renderings():
            if step.today:
                said = in_declaration(step.set, "cases", str(number), "steps", str(step.number), step.verb, "set")
                # A second upgrade has values of its own.
                step_name = step.verb if step.verb not in taken else f"{step.verb}-{step.number + 1}"
                taken.add(step_name)
                yield one(f"{case.name}/{step_name}", (*case.values, *step.values), (own, said), case)

    return (
        ValuesSet(DEFAULT, release=name),
        *(one(file, (file,), (), Case(file)) for file in ci),
        *(values for number, case in enumerate(declared.cases) for values in of_case(number, case)),
    )


def _is_binary(content: bytes) -> bool:
    return b"\0" in content[:8192]


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig", errors="replace")
