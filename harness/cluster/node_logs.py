"""What exported node logs say about why a cluster did not become usable."""

from __future__ import annotations

from pathlib import Path

# Text in the log of a node or its services, in lower case -> what is wrong, and what to do about it.
_NO_INOTIFY = (
    "the host has no inotify instances left for another node: remove other clusters, or raise them with "
    "`sysctl fs.inotify.max_user_instances=1024` (the default of 128 is enough for about six nodes)"
)
_CAUSES = (
    ("inotify_init: too many open files", _NO_INOTIFY),
    ("inotify object: too many open files", _NO_INOTIFY),
    ("no space left on device", "the disk is full: `docker system df` shows where it went"),
    ("configured to not run on a host using cgroup v1", "this Kubernetes version wants a host with cgroup v2"),
)
_LOGS = ("kubelet.log", "containerd.log", "journal.log")


def known_causes(directory: Path) -> tuple[str, ...]:
    """Return what known causes of failure the logs below `directory` show.

    Args:
        directory: holds what each node wrote, ``<node>.log``, and a directory per node by `kind export logs`.
    """
    paths = [*directory.glob("*.log"), *(path for name in _LOGS for path in directory.rglob(name))]
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(paths)).lower()
    return tuple(dict.fromkeys(hint for sign, hint in _CAUSES if sign in text))
