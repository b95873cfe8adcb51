"""Every error Seatrial raises on purpose, typed by what the caller can do about it.

The tree::

    SeatrialError
     +- SettingsError            a value the user gave is wrong (surfaces as pytest.UsageError)
     +- CommandError             a program ended with a non-zero exit code
     |   +- CommandTimeoutError  ... or was stopped at its time limit
     |   +- ProgramNotFoundError ... or could not be started at all
     +- WaitTimeoutError         a condition did not hold within its deadline
     +- SupplyError              a program or an image cannot be had
     |   +- MissingArtifactsError   several at once, with how to get each
     |   +- DownloadError           the publisher's address did not deliver
     |   |   +- DigestMismatchError    ... or delivered something else than what is pinned
     |   +- BuildError              a build from package registries failed
     +- EngineError              no Docker engine answers, or ours does not start
     +- ClusterError             a cluster cannot be made, found, used or deleted
     |   +- ClusterNotReadyError    it is there but not usable
     |   +- ContextRefusedError     it is there but Seatrial must not touch it
     +- ImageError               an image cannot be built, tagged, pushed or pulled
     |   +- ImageBuildError
     |   +- RegistryError        a registry did not take or give an image
     |       +- RegistryUnreachableError   nothing answers at its address
     |       +- RegistryAuthError          it wants other credentials, or grants too little
     |       +- RegistryTLSError           its certificate is not trusted, or it does not speak TLS
     +- OutsideError             a stand-in for what is on the Internet does not start, or refuses
     +- DeployError              a deployment was refused by the cluster or a chart by Helm
     |   +- ManifestError           documents are malformed: refused before anything is applied
     |   +- ChartError              a chart or its values are malformed: refused by Helm before anything is applied
     |   +- RolloutError            it was accepted and will not become ready
     |   +- ChartTestError          a release's own test failed
     |   +- LeftoverError           something of a release is still there after it was uninstalled
     |   +- SeldonError             Seldon's operator took a SeldonDeployment and says that it failed
     |       +- SeldonRefusedError     its webhook, or the definition of the kind, does not take it
     |       +- SeldonOperatorError    there is no operator, or it does not answer or act
     |   +- BodyworkError           Bodywork did not do what it was asked to
     |       +- BodyworkProjectError   what it found in the project's repository, or did not find there
     |       +- BodyworkStageError     a stage failed, or did not end or start in time
     +- HistoryError             git cannot say what changed since a commit
     +- AccessError              no way to reach a deployed service
     +- EndpointNotReadyError    the address is known and does not answer properly
     +- PayloadError             a request payload cannot be sent as JSON
     +- CleanupError             something Seatrial made could not be removed

    ScoreMismatch (AssertionError)  the service answered, and the answer is wrong
    ErrorBudgetExceeded (AssertionError)  a service under traffic failed more, or was slower, than allowed
    WeightMismatch (AssertionError)  traffic is not split as it should be

A wrong score is an ``AssertionError`` so that pytest shows it as a failed assertion rather than as a broken platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.process.outcome import Outcome

# Long outputs are cut from the front: programs print the reason last. 4,000 characters fill about one screen.
TAIL_CHARS = 4_000


def tail(text: str, limit: int = TAIL_CHARS) -> str:
    """Return the last `limit` characters of `text`, saying so when something was cut."""
    text = text.strip()
    if len(text) <= limit:
        return text
    return f"[... {len(text) - limit} characters cut ...]\n{text[-limit:]}"


class SeatrialError(Exception):
    """Base of the tree.

    Args:
        attempted: what was tried and on what, e.g. ``"create kind cluster 'demo'"``.
        seen: what was observed instead of success.
        hint: what the reader can do about it.
        facts: further named facts, kept as ``self.facts`` for the evidence.
    """

    def __init__(self, attempted: str, *, seen: str = "", hint: str = "", **facts: object) -> None:
        self.attempted = attempted
        self.seen = seen
        self.hint = hint
        self.facts = facts
        super().__init__(attempted)

    def __str__(self) -> str:
        lines = [f"could not {self.attempted}"]
        if self.seen:
            lines.append(f"  seen: {_indent(self.seen)}")
        if self.hint:
            lines.append(f"  try:  {_indent(self.hint)}")
        return "\n".join(lines)


def _indent(text: str) -> str:
    return tail(text).replace("\n", "\n        ")


class SettingsError(SeatrialError):
    """One or more settings are wrong; all problems are reported together."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("use these settings", seen="\n".join(self.problems))

    def __str__(self) -> str:
        return "\n".join(self.problems)


class CommandError(SeatrialError):
    """A program ended with a non-zero exit code."""

    def __init__(self, outcome: Outcome, *, hint: str = "") -> None:
        self.outcome = outcome
        super().__init__(f"run `{outcome.command.pasteable()}`", seen=self._what_was_seen(outcome), hint=hint)

    @staticmethod
    def _what_was_seen(outcome: Outcome) -> str:
        output = outcome.stderr.strip() or outcome.stdout.strip() or "no output"
        return f"exit code {outcome.exit_code} after {outcome.duration_s:.1f} s\n{output}"


class CommandTimeoutError(CommandError):
    """A program was stopped because it ran past its time limit."""

    @staticmethod
    def _what_was_seen(outcome: Outcome) -> str:
        output = outcome.stderr.strip() or outcome.stdout.strip() or "no output"
        return f"still running after its time limit of {outcome.command.timeout_s:g} s, stopped\n{output}"


class ProgramNotFoundError(CommandError):
    """A program could not be started because it is not there or not executable."""

    @staticmethod
    def _what_was_seen(outcome: Outcome) -> str:
        return outcome.stderr


class WaitTimeoutError(SeatrialError):
    """A condition did not hold within its deadline.

    `last` holds the last observation; `timeout_s` the deadline in seconds.
    """

    def __init__(self, attempted: str, *, timeout_s: float, last: object, seen: str = "", hint: str = "") -> None:
        self.timeout_s = timeout_s
        self.last = last
        super().__init__(f"{attempted} within {timeout_s:g} s", seen=seen or f"last: {last}", hint=hint)


class SupplyError(SeatrialError):
    """A program or an image cannot be had from any source."""


class MissingArtifactsError(SupplyError):
    """Several artifacts are missing and may not be fetched or built; `missing` names each with how to get it.

    `unseen` says why it is not known which images are.
    """

    def __init__(
        self, missing: Sequence[tuple[str, str]], *, because: str, unseen: SeatrialError | None = None
    ) -> None:
        self.missing = tuple(missing)
        self.unseen = unseen
        seen = [f"{name}: not there" for name, _ in missing]
        hints = [f"{name}: {how}" for name, how in missing]
        if unseen is not None:
            why = ": ".join(filter(None, [f"could not {unseen.attempted}", unseen.seen.partition("\n")[0]]))
            seen.append(f"images were not looked at: {why}")
            hints += [f"images: {unseen.hint}"] if unseen.hint else []
        super().__init__(
            f"supply {', '.join(name for name, _ in missing)} ({because})", seen="\n".join(seen), hint="\n".join(hints)
        )


class DownloadError(SupplyError):
    """The publisher's address did not deliver the artifact."""


class DigestMismatchError(DownloadError):
    """What was delivered or cached is not what is pinned."""


class BuildError(SupplyError):
    """A build from package registries failed; `facts["log"]` names the log file."""


class EngineError(SeatrialError):
    """No Docker engine answers, or the managed one does not start."""


class ClusterError(SeatrialError):
    """A cluster cannot be made, found, used or deleted."""


class ClusterNotReadyError(ClusterError):
    """A cluster is there but is not usable."""


class ContextRefusedError(ClusterError):
    """A kubeconfig context exists but Seatrial must not touch it."""


class ImageError(SeatrialError):
    """An image cannot be tagged, pushed, pulled or run."""


class ImageBuildError(ImageError):
    """An image cannot be built from its directory."""


class RegistryError(ImageError):
    """A registry did not take or give an image."""


class RegistryUnreachableError(RegistryError):
    """Nothing answers at a registry's address."""


class RegistryAuthError(RegistryError):
    """A registry wants other credentials, or grants these too little."""


class RegistryTLSError(RegistryError):
    """A registry's certificate is not trusted, or it does not speak TLS where TLS is asked for."""


class OutsideError(SeatrialError):
    """A stand-in for what a deployment expects on the Internet does not start, or refuses what a test asks of it."""


class DeployError(SeatrialError):
    """A deployment was refused by the cluster, or a chart by Helm."""


class ManifestError(DeployError):
    """Documents are malformed; `file` and `line` (1-based, 0 when unknown) say where."""

    def __init__(self, attempted: str, *, file: str, line: int = 0, seen: str, hint: str = "", **facts: object) -> None:
        self.file = file
        self.line = line
        where = f"{file}:{line}" if line else file
        super().__init__(attempted, seen=f"{where}: {seen}", hint=hint, **facts)


class ChartError(DeployError):
    """A chart or the values given to it are malformed.

    `problem` is one of ``missing``, ``malformed``, ``dependency``, ``template`` or ``values``; `file` and `line`
    (1-based, 0 when unknown) say where, as Helm reports it: relative to the chart's parent.
    """

    def __init__(
        self,
        attempted: str,
        *,
        problem: str,
        file: str = "",
        line: int = 0,
        seen: str,
        hint: str = "",
        **facts: object,
    ) -> None:
        self.problem = problem
        self.file = file
        self.line = line
        super().__init__(attempted, seen=seen, hint=hint, **facts)


class RolloutError(DeployError):
    """A deployment was accepted and will not become ready; `reason` is Kubernetes' own word for it."""

    def __init__(self, attempted: str, *, reason: str, seen: str = "", hint: str = "", **facts: object) -> None:
        self.reason = reason
        super().__init__(attempted, seen=f"{reason}: {seen}" if seen else reason, hint=hint, **facts)


class ChartTestError(DeployError):
    """A test hook of a release failed (``helm test``)."""


class LeftoverError(DeployError):
    """A release was uninstalled, and something of it is still there; `left` names each object as KIND/NAME."""

    def __init__(self, attempted: str, *, left: Sequence[str], seen: str, hint: str = "") -> None:
        self.left = tuple(left)
        super().__init__(attempted, seen=seen, hint=hint)


class SeldonError(DeployError):
    """Seldon's operator could not make of a SeldonDeployment what it asks for.

    `state` and `description` are those of its status, as far as the operator has written one.
    """

    def __init__(
        self,
        attempted: str,
        *,
        state: str = "",
        description: str = "",
        seen: str = "",
        hint: str = "",
        **facts: object,
    ) -> None:
        self.state = state
        self.description = description
        super().__init__(attempted, seen=seen, hint=hint, **facts)


class SeldonRefusedError(SeldonError):
    """A SeldonDeployment was refused before the operator saw to it; `description` is what the refusal says."""


class SeldonOperatorError(SeldonError):
    """Seldon's operator is not there, or does not answer or act."""


class BodyworkError(DeployError):
    """Bodywork did not do what it was asked to; `reason` says why, see :data:`harness.commands.bodywork.Reason`.

    `output` is all it wrote, `log` the file that holds the same, as far as there is one.
    """

    def __init__(
        self,
        attempted: str,
        *,
        reason: str,
        output: str = "",
        log: str = "",
        seen: str = "",
        hint: str = "",
        **facts: object,
    ) -> None:
        self.reason = reason
        self.output = output
        self.log = log
        whole = f"see {log}" if log else ""
        tried = "; ".join(part for part in (hint, whole) if part)
        super().__init__(attempted, seen=f"{reason}: {seen}" if seen else reason, hint=tried, **facts)


class BodyworkProjectError(BodyworkError):
    """What a project's repository holds cannot be run: no such branch, a broken bodywork.yaml, an unknown image."""


class BodyworkStageError(BodyworkError):
    """A stage of a project failed, or did not end or start in time."""


class HistoryError(SeatrialError):
    """Git cannot say what changed since a commit: no repository, no such commit, or too little history."""


class AccessError(SeatrialError):
    """There is no way to reach a deployed service."""


class EndpointNotReadyError(SeatrialError):
    """An address is known and did not answer properly within its deadline."""


class PayloadError(SeatrialError):
    """A request payload cannot be sent as JSON; nothing was sent."""


class CleanupError(SeatrialError):
    """Something Seatrial made could not be removed; `errors` holds each cause."""

    def __init__(self, errors: Sequence[tuple[str, BaseException]]) -> None:
        self.errors = tuple(errors)
        super().__init__(
            "remove everything this run made",
            seen="\n".join(f"{label}: {error}" for label, error in errors),
            hint="the next run removes what is labelled as owned by a run that has ended",
        )


class ScoreMismatch(AssertionError):  # noqa: N818 - an assertion, named as assertions are
    """The service answered, and the answer is wrong."""


class ErrorBudgetExceeded(AssertionError):  # noqa: N818 - an assertion, named as assertions are
    """A service under traffic failed more requests, was silent for longer, or was slower than allowed."""


class WeightMismatch(AssertionError):  # noqa: N818 - an assertion, named as assertions are
    """The variants of a service did not answer in the proportion their weights say."""
