"""A chart's case in a cluster: which way the release goes, what must answer, and what may be left of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from harness.charts.chart import Chart
from harness.charts.declaration import RENDERS
from harness.commands.helm import Values, merged_values
from harness.errors import ChartError

Verb = Literal["install", "upgrade", "rollback", "uninstall", "test", "score", "delete-pod", "drain"]
Via = Literal["load-balancer", "node-port", "port-forward", "api-proxy"]

VERBS: tuple[str, ...] = get_args(Verb)


@dataclass(frozen=True)
class Origin:
    """Where an earlier version of the chart is; one of the four.

    Args:
        git: a ref: the chart as it was there, with the charts of its repository that it takes in.
        tag: a pattern of tags, e.g. ``scorer-*``: as it was at the latest of them that HEAD has behind it.
        path: a directory or a packaged chart.
        oci: a registry's reference, e.g. ``oci://registry.example.com/charts/scorer``.
        version: which version of it.
        plain_http: whether the registry speaks no TLS.
    """

    git: str = ""
    tag: str = ""
    path: Path | None = None
    oci: str = ""
    version: str = ""
    plain_http: bool = False

    def __str__(self) -> str:
        if self.oci:
            return f"{self.oci}:{self.version}" if self.version else self.oci
        return self.git or (f"the latest tag '{self.tag}'" if self.tag else str(self.path))


@dataclass(frozen=True)
class Step:
    """One step of a release's way.

    Args:
        verb: what is done.
        previous: whether the chart is the earlier version (install, upgrade).
        values: values files on top of the case's, relative to the chart; the earlier version gets the step's only.
        set: values on top of those, merged last.
        revision: what to roll back to; 0 is the last one before this that did not fail.
        fails: pattern that the step's error must match: the step has to fail, and what it changed be taken back.
    """

    verb: Verb
    previous: bool = False
    values: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    fails: str = ""

    def __str__(self) -> str:
        words = [self.verb, *(["the earlier version"] if self.previous else [])]
        words += [f"to revision {self.revision}"] if self.revision else []
        return " ".join([*words, *(["(must fail)"] if self.fails else [])])


@dataclass(frozen=True)
class Answer:
    """What must answer, and how.

    Args:
        service: the Service.
        namespace: its namespace; the release's by default.
        port: number or name of the Service's port; its only one by default.
        via: how it is reached.
        path: path of the request, e.g. ``/score``.
        method: HTTP method.
        request: the payload, sent as JSON; none by default.
        status: the answer's status.
        response: the answer's JSON; any by default.
    """

    service: str
    namespace: str = ""
    port: int | str | None = None
    via: Via = "load-balancer"
    path: str = ""
    method: str = "POST"
    request: Any = None
    status: int = 200
    response: Any = None


@dataclass(frozen=True)
class Traffic:
    """Requests to the first of a case's answers, from its first score until it is uninstalled, and their error budget.

    Args:
        rate_per_s: requests per second.
        requests: how many there must be at least.
        keep_alive: whether senders keep their connections; without, each request is routed anew.
        timeout_s: limit of one request.
        max_failed: requests that may fail.
        max_gap_s: seconds that may pass without a good answer.
        p99_ms: limit of the 99th percentile of the latency, milliseconds.
    """

    rate_per_s: float = 50.0
    requests: int = 1000
    keep_alive: bool = False
    timeout_s: float = 5.0
    max_failed: int = 0
    max_gap_s: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class ChartCase:
    """One way in which a chart is used in a cluster.

    Args:
        chart: the chart's directory or archive.
        name: unique among the chart's cases.
        values: values files, relative to the chart, merged in this order.
        set: values of the case's own, merged last.
        release: the release's name.
        namespace: where it goes; empty: a fresh one for each run.
        makes: namespaces that the chart makes itself; cases take turns with them.
        previous: where the earlier version is that steps speak of.
        steps: the way the release goes; see :func:`usual_steps`.
        answers: what must answer whenever a step says ``score``.
        traffic: requests meanwhile; none by default.
        ready: conditions that custom objects must have after a rollout, by kind, e.g. ``{"Certificate": "Ready"}``.
        leaves: patterns of what may be left, e.g. ``PersistentVolumeClaim/data-*``; it is removed.
        chart_name: the chart's name, for ids.
    """

    chart: Path
    name: str
    values: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    release: str = ""
    namespace: str = ""
    makes: tuple[str, ...] = ()
    previous: Origin | None = None
    steps: tuple[Step, ...] = ()
    answers: tuple[Answer, ...] = ()
    traffic: Traffic | None = None
    ready: Mapping[str, str] = field(default_factory=dict)
    leaves: tuple[str, ...] = ()
    chart_name: str = ""

    def __post_init__(self) -> None:
        if not self.chart_name:
            object.__setattr__(self, "chart_name", self.chart.name)
        if not self.release:
            object.__setattr__(self, "release", self.chart_name)
        if not self.steps:
            object.__setattr__(self, "steps", usual_steps(upgrade=self.previous is not None))
        problems = list(_problems(self))
        if problems:
            raise ChartError(
                f"use case '{self.id}'",
                problem="malformed",
                file=str(self.chart),
                seen="\n".join(problems),
                hint="see docs/charts.md, 'Live checks'",
            )

    @property
    def id(self) -> str:
        """``CHART/CASE``."""
        return f"{self.chart_name}/{self.name}"

    def values_of(self, step: Step) -> Values:
        """Return the values a step renders with."""
        base = () if step.previous else self.values
        own: Mapping[str, Any] = {} if step.previous else self.set
        directory = self.chart if self.chart.is_dir() else self.chart.parent
        return Values(
            files=tuple(directory / file for file in (*base, *step.values)), inline=merged_values(own, step.set)
        )


def usual_steps(*, upgrade: bool) -> tuple[Step, ...]:
    """Return the way of a case that names none; `upgrade` when there is an earlier version to come from."""
    if not upgrade:
        return (Step("install"), Step("test"), Step("score"), Step("uninstall"))
    return (
        Step("install", previous=True),
        Step("score"),
        Step("upgrade"),
        Step("test"),
        Step("score"),
        Step("rollback"),
        Step("score"),
        Step("uninstall"),
    )


def _problems(case: ChartCase) -> Iterator[str]:
    verbs = [step.verb for step in case.steps]
    # An install that fails leaves nothing, so that another may follow.
    installs = sum(step.verb == "install" and not step.fails for step in case.steps)
    if verbs[0] != "install" or installs > 1:
        yield "the steps must begin with 'install', and only one of those may be meant to succeed"
    if "uninstall" in verbs[:-1]:
        yield "nothing can follow 'uninstall'"
    if any(step.previous for step in case.steps) and case.previous is None:
        yield "a step speaks of the earlier version, and 'from' does not say where it is"
    for step in case.steps:
        if (step.values or step.set) and step.verb not in RENDERS:
            yield f"step '{step.verb}' has no values"
    if case.traffic and not case.answers:
        yield "traffic needs something that answers: 'answers' names nothing"
    way = case.answers[0].via if case.traffic and case.answers else ""
    if way == "port-forward":
        yield "a port-forward leads to one pod and ends with it: traffic needs another way (via: load-balancer)"
    if way == "load-balancer" and "drain" in verbs:
        # MetalLB v0.14.9 announces from no node that is cordoned (internal/k8s/nodes, IsNodeAvailable).
        yield (
            "a balancer's address moves away from a node that is drained and back, and what is open then is reset, "
            "whatever the chart does: traffic over 'drain' needs another way (via: node-port)"
        )


# --- from files -------------------------------------------------------------------------------------------------------


def cases_of(chart: Path) -> tuple[ChartCase, ...]:
    """Return the cases that a chart's seatrial.yaml declares.

    Raises:
        ChartError: the chart or its declaration cannot be read.
    """
    loaded = Chart.load(chart)
    return tuple(
        _case(
            chart, loaded.name, {"name": one.name, "values": one.values, "set": one.set, "release": one.release},
            one.details,
        )
        for one in loaded.declaration.cases
    )  # fmt: skip


def _case(chart: Path, name: str, given: Mapping[str, Any], details: Mapping[str, Any]) -> ChartCase:
    origin = details.get("from")
    traffic = details.get("traffic")
    return ChartCase(
        chart=chart,
        name=given["name"],
        values=tuple(given["values"]),
        set=given["set"],
        release=given["release"],
        namespace=str(details.get("namespace", "")),
        makes=tuple(details.get("makes", ())),
        previous=None if origin is None else _origin(chart, origin),
        steps=tuple(_step(one) for one in details.get("steps", ())),
        answers=tuple(Answer(**one) for one in details.get("answers", ())),
        traffic=None if traffic is None else _traffic(traffic),
        ready=details.get("ready", {}),
        leaves=tuple(details.get("leaves", ())),
        chart_name=name,
    )


def _origin(chart: Path, body: Mapping[str, Any]) -> Origin:
    path = body.get("path")
    directory = chart if chart.is_dir() else chart.parent
    return Origin(
        git=body.get("git", ""),
        tag=body.get("tag", ""),
        path=None if path is None else directory / path,
        oci=body.get("oci", ""),
        version=body.get("version", ""),
        plain_http=body.get("plain-http", False),
    )


def _step(body: Verb | Mapping[Verb, Any]) -> Step:
    if isinstance(body, str):
        return Step(body)
    ((verb, options),) = body.items()
    options = options or {}
    return Step(
        verb,
        previous=options.get("chart", "current") == "previous",
        values=tuple(options.get("values", ())),
        set=options.get("set", {}),
        revision=options.get("revision", 0),
        fails=options.get("fails", ""),
    )


def _traffic(body: Mapping[str, Any]) -> Traffic:
    names = {
        "rate": "rate_per_s",
        "requests": "requests",
        "keep-alive": "keep_alive",
        "timeout": "timeout_s",
        "failed": "max_failed",
        "gap": "max_gap_s",
        "p99": "p99_ms",
    }
    return Traffic(**{names[key]: value for key, value in body.items()})


def find_cases(charts: Sequence[Path]) -> list[ChartCase]:
    """Return the cases of several charts.

    Raises:
        ChartError: one of them cannot be read.
    """
    return [case for chart in charts for case in cases_of(chart)]
