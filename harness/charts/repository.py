"""The git repository that charts live in: what changed, and how it was before."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.commands import git
from harness.commands.git import Change
from harness.errors import HistoryError
from harness.process.command import Command
from harness.process.outcome import Outcome
from harness.process.runner import Runner

_DEEPEN = "fetch the whole history: `git fetch --unshallow`, or `fetch-depth: 0` for actions/checkout"


@dataclass(frozen=True)
class Repository:
    """A git working tree; nothing in it is changed.

    Args:
        root: its top directory.
        shallow: whether its history is cut short.
        runner: runs git.
    """

    root: Path
    shallow: bool
    runner: Runner

    @classmethod
    def find(cls, directory: Path, runner: Runner) -> Repository:
        """Return the repository that `directory` is in.

        Raises:
            HistoryError: it is in none.
        """
        outcome = _git(runner, directory, git.describe())
        if not outcome.succeeded:
            raise HistoryError(
                f"find the git repository of '{directory}'",
                seen=outcome.stderr.strip(),
                hint="run it inside a repository, or leave out the commit to compare with",
            )
        root, shallow = git.parse_describe(outcome.stdout)
        return cls(root, shallow, runner)

    def merge_base(self, ref: str) -> str:
        """Return the commit where HEAD left `ref`; for one of zeros, a first push's before, the tree without files.

        Raises:
            HistoryError: there is no such ref, no common ancestor, or too little history to tell.
        """
        if empty := git.empty_tree(ref):
            return empty
        attempted = f"find where HEAD left '{ref}' in '{self.root}'"
        outcome = self._git(git.merge_base(ref))
        if outcome.succeeded:
            return outcome.stdout.split()[0]
        if not self._git(git.verify("HEAD")).succeeded:
            raise HistoryError(attempted, seen="HEAD is no commit: nothing has been committed yet", hint="commit first")
        known = self._git(git.verify(ref)).succeeded
        if self.shallow:
            seen = "no common ancestor" if known else f"there is no commit '{ref}'"
            raise HistoryError(
                attempted, seen=f"{seen}, and the repository is shallow: its history is cut short", hint=_DEEPEN
            )
        if not known:
            remote, _, branch = ref.partition("/")
            hint = (
                f"`git fetch {remote} {branch}`, or name a commit that is here"
                if branch
                else "name a commit that is here"
            )
            raise HistoryError(attempted, seen=f"there is no commit '{ref}' here", hint=hint)
        raise HistoryError(
            attempted,
            seen=f"HEAD and '{ref}' have no merge base: their histories have no commit in common",
            hint="compare with a branch that this one was started from",
        )

    def commit(self, ref: str) -> str:
        """Return the commit that `ref` names.

        Raises:
            HistoryError: there is none.
        """
        outcome = self._git(git.verify(ref))
        if outcome.succeeded:
            return outcome.stdout.strip()
        hint = _DEEPEN if self.shallow else "name a commit, a branch or a tag that is here: `git fetch --tags`"
        raise HistoryError(f"find '{ref}' in '{self.root}'", seen=f"there is no commit '{ref}' here", hint=hint)

    def latest_tag(self, pattern: str) -> str:
        """Return the latest tag that fits `pattern` and that HEAD has behind it.

        Raises:
            HistoryError: there is none.
        """
        outcome = self._git(git.latest_tag(pattern))
        if outcome.succeeded:
            return outcome.stdout.strip()
        hint = _DEEPEN if self.shallow else "release a version first, or fetch tags: `git fetch --tags`"
        raise HistoryError(f"find the latest tag '{pattern}' in '{self.root}'", seen=outcome.stderr.strip(), hint=hint)

    def files(self) -> tuple[tuple[str, bool], ...]:
        """Return every file that is not ignored, relative to the root, with whether it is untracked."""
        return git.parse_files(self._git(git.files()).check().stdout)

    def changes(self, commit: str) -> tuple[Change, ...]:
        """Return what the working tree changes since `commit`, untracked files left out."""
        return git.parse_changes(self._git(git.changed_since(commit)).check().stdout)

    def files_at(self, commit: str) -> tuple[str, ...]:
        """Return every file there was at `commit`."""
        return git.parse_tree(self._git(git.list_tree(commit)).check().stdout)

    def extract(self, commit: str, paths: Sequence[str], into: Path) -> None:
        """Write the files below `paths`, relative to the root, as they were at `commit`, to the directory `into`."""
        into.mkdir(parents=True, exist_ok=True)
        archive = into / ".seatrial-archive.tar"
        self._git(git.archive(commit, paths, into=archive)).check()
        with tarfile.open(archive) as tar:
            # The filter refuses what would end up outside; Python before 3.10.12 and 3.11.4 has none.
            tar.extractall(into, filter="data")
        archive.unlink()

    def _git(self, args: git.Args) -> Outcome:
        return _git(self.runner, self.root, args)


def _git(runner: Runner, directory: Path, args: git.Args) -> Outcome:
    # What a hook or an outer git says about another repository must not lead away from this one.
    env = {"GIT_DIR": None, "GIT_WORK_TREE": None, "GIT_INDEX_FILE": None, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    outcome = runner.run(Command(("git", "-C", str(directory), *args), env=env))
    if outcome.not_found or outcome.timed_out:
        outcome.check(hint="install git")
    return outcome
