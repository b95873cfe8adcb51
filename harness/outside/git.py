"""Git hosting under a public name: repositories read and pushed over HTTPS.

Served by git's own ``http-backend`` (git 2.39) over bare repositories. Unlike the real host it asks nobody who they
are, and it says of a missing repository that it is missing, where GitHub would ask for a password.

git runs in the serving container alone: the host needs none, and its configuration is neither read nor written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.outside.inside import ContainerFiles

_ROOT = "/srv/git"
_WORK = "/srv/work"
# The container's own copy of the run's authority, see harness.outside.world.
_CA_PATH = "/etc/seatrial/ca.pem"

_ENVIRONMENT = {
    "GIT_SSL_CAINFO": _CA_PATH,
    "GIT_AUTHOR_NAME": "Seatrial",
    "GIT_AUTHOR_EMAIL": "seatrial@example.org",
    "GIT_COMMITTER_NAME": "Seatrial",
    "GIT_COMMITTER_EMAIL": "seatrial@example.org",
    "GIT_TERMINAL_PROMPT": "0",
}

_BLOCK = """\
location ~ ^/(?<repository>[^/]+/[^/]+?)(\\.git)?(?<service>/(info/refs|git-upload-pack|git-receive-pack))$ {
  fastcgi_pass unix:/run/fcgiwrap.sock;
  fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
  fastcgi_param GIT_PROJECT_ROOT /srv/git;
  fastcgi_param GIT_HTTP_EXPORT_ALL 1;
  fastcgi_param GIT_PROTOCOL $http_git_protocol;
  fastcgi_param PATH_INFO /$repository.git$service;
  fastcgi_param QUERY_STRING $query_string;
  fastcgi_param REQUEST_METHOD $request_method;
  fastcgi_param CONTENT_TYPE $content_type;
  fastcgi_param CONTENT_LENGTH $content_length;
}
location / { return 404; }
"""


@dataclass(frozen=True)
class GitHosting:
    """The service that answers for a git host.

    Args:
        host: its public name.
    """

    host: str = "github.com"

    @property
    def names(self) -> tuple[str, ...]:
        """See :attr:`OutsideService.names`."""
        return (self.host,)

    @property
    def stands_for(self) -> str:
        """See :attr:`OutsideService.stands_for`."""
        return f"git hosting on {self.host}: git http-backend over bare repositories, without accounts"

    @property
    def probe_path(self) -> str:
        """See :attr:`OutsideService.probe_path`."""
        return "/any/any/info/refs"

    def server_block(self) -> str:
        """See :meth:`OutsideService.server_block`."""
        return _BLOCK

    def environment(self) -> dict[str, str]:
        """See :meth:`OutsideService.environment`."""
        return {}


@dataclass(frozen=True)
class Change:
    """What one commit changes.

    Args:
        files: new content by path below the repository's root; ``None`` removes the file.
        message: the commit's message.
    """

    files: Mapping[str, str | None]
    message: str = "Change what the test changes"


@dataclass(frozen=True)
class GitHost:
    """Repositories of a running git hosting.

    Args:
        inside: the container that serves them.
        hosting: the service it serves.
    """

    inside: ContainerFiles
    hosting: GitHosting = field(default_factory=GitHosting)

    def url(self, repository: str) -> str:
        """Return the address that clients clone ``OWNER/NAME`` from."""
        return f"https://{self.hosting.host}/{repository}"

    def create(self, repository: str, directory: Path, *, branch: str = "master") -> str:
        """Make a repository of the files below `directory` and return its first commit.

        Args:
            repository: ``OWNER/NAME``.
            directory: what it holds.
            branch: its only branch.

        Raises:
            OutsideError: it is there already, or git refused; the message holds git's own.
        """
        bare, work = f"{_ROOT}/{repository}.git", _work(repository)
        # The one program that fails when the repository is there: git init would take it as it is.
        self.inside.run("mkdir", "-p", f"{_ROOT}/{repository.rpartition('/')[0]}")
        self.inside.run("mkdir", bare)
        self._git("init", "--quiet", "--bare", f"--initial-branch={branch}", bare)
        # Nobody is asked who they are, and who is not known may push only where the repository says so.
        self._git("-C", bare, "config", "http.receivepack", "true")
        self._git("init", "--quiet", f"--initial-branch={branch}", work)
        self._git("-C", work, "remote", "add", "origin", self.url(repository))
        self.inside.put_directory(work, directory)
        return self._commit_and_push(work, "Begin")

    def push(self, repository: str, change: Change) -> str:
        """Commit a change on the branch and push it to the public address; return the commit.

        Raises:
            OutsideError: there is no such repository, nothing changed, or git refused.
        """
        work = _work(repository)
        self.inside.put(work, {path: text.encode() for path, text in change.files.items() if text is not None})
        removed = [path for path, text in change.files.items() if text is None]
        if removed:
            self._git("-C", work, "rm", "--quiet", "--", *removed)
        return self._commit_and_push(work, change.message)

    def head(self, repository: str, branch: str = "master") -> str:
        """Return the commit that `branch` of the hosted repository is at."""
        return self._git("-C", f"{_ROOT}/{repository}.git", "rev-parse", "--verify", branch).strip()

    def _commit_and_push(self, work: str, message: str) -> str:
        self._git("-C", work, "add", "--all")
        self._git("-C", work, "commit", "--quiet", f"--message={message}")
        self._git("-C", work, "push", "--quiet", "origin", "HEAD")
        return self._git("-C", work, "rev-parse", "HEAD").strip()

    def _git(self, *args: str) -> str:
        return self.inside.run("git", *args, environment=_ENVIRONMENT)


def _work(repository: str) -> str:
    return f"{_WORK}/{repository}"
