"""The files in which clients keep certificates and keys."""

from __future__ import annotations

import base64
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.cluster.credentials import credential_file

USES_BOTH_CLIENTS = """
import os, pathlib, signal, sys, tempfile
from harness.cluster.pytest_kind import SeatrialKindCluster
from harness.cluster.provider import ClusterHandle, ClusterSpec

path = pathlib.Path(sys.argv[1])
handle = ClusterHandle("demo", "kind", path, "demo", path)
made = SeatrialKindCluster("demo", provider=None, spec=ClusterSpec("1.34"), kind_path=path, kubectl_path=path,
                           load_image=None, forward=None, handle=handle)
user, cluster = made.api.config.user, made.api.config.cluster
files = [user["client-key"], user["client-certificate"], cluster["certificate-authority"]]
print(*(one.filename() for one in files), handle.api_client().configuration.key_file, sep="\\n", flush=True)
if sys.argv[2:] == ["killed"]:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """A kubeconfig that holds its certificates and its key, as those of kind do."""
    cluster, user = ({f"{name}-data": base64.b64encode(name.encode()).decode() for name in names} for names in KEYS)
    document = {
        "current-context": "demo",
        "clusters": [{"name": "demo", "cluster": {"server": "https://127.0.0.1:6443", **cluster}}],
        "users": [{"name": "demo", "user": user}],
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


KEYS = (("certificate-authority",), ("client-certificate", "client-key"))


def use_both(kubeconfig: Path, *arguments: str) -> tuple[int, list[Path], list[Path]]:
    """Use both clients in another process; return how it ended, the files it named and what it left."""
    temporary = kubeconfig.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    argv = [sys.executable, "-c", USES_BOTH_CLIENTS, str(kubeconfig), *arguments]
    env = {**os.environ, "TMPDIR": str(temporary)}
    ended = subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=False)
    return ended.returncode, [Path(line) for line in ended.stdout.split()], sorted(temporary.rglob("*"))


def test_nothing_stays_after_the_process(kubeconfig: Path) -> None:
    """Neither the Kubernetes client's files nor pykube's, which leaves its own behind."""
    code, files, left = use_both(kubeconfig)
    assert (code, len(files)) == (0, 4)
    assert left == []


def test_what_a_killed_process_left_goes_with_the_next(kubeconfig: Path) -> None:
    """Until then only its owner can read it."""
    code, files, left = use_both(kubeconfig, "killed")
    assert code == -signal.SIGKILL
    assert {path.parent for path in files} == {left[0]}, "all files are in the process's own directory"
    assert stat.S_IMODE(left[0].stat().st_mode) == 0o700
    assert [path.read_text() for path in files[:3]] == ["client-key", "client-certificate", "certificate-authority"]
    _, _, left = use_both(kubeconfig)
    assert left == []


def test_a_file_is_for_its_owner_only() -> None:
    """The same data are the same file."""
    path = credential_file(base64.b64encode(b"key").decode())
    assert path.read_bytes() == b"key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credential_file(base64.b64encode(b"key").decode()) == path
