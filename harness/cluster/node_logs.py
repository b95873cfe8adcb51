"""What exported node logs say about why a cluster did not become usable."""

from __future__ import annotations

from pathlib import Path

# Text in a node's kubelet or containerd log -> what is wrong, and what to do about it.
_CAUSES = (
    (
        "inotify_init: too many open files",
        "the host has no inotify instances left for the kubelet: remove other clusters, or raise them with "
        "`sysctl fs.inotify.max_user_instances=1024` (the default of 128 is enough for about six nodes)",
    ),
    ("no space left on device", "the disk is full: `docker system df` shows where it went"),
    ("configured to not run on a host using cgroup v1", "this Kubernetes version wants a host with cgroup v2"),
)
_LOGS = ("kubelet.log", "containerd.log", "journal.log")


def known_causes(directory: Path) -> tuple[str, ...]:
    """Return what known causes of failure the logs that `kind export logs` wrote below `directory` show.

    Args:
        directory: holds one directory per node.
    """
    text = "".join(
        path.read_text(encoding="utf-8", errors="replace") for name in _LOGS for path in sorted(directory.rglob(name))
    )
    return tuple(hint for sign, hint in _CAUSES if sign in text)
