"""The container that serves a world, seen from this process: files put into it, programs run in it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker.errors
import requests

from harness.engine.engine import Engine
from harness.errors import OutsideError

_PRIVATE, _PLAIN, _FOLDER = 0o600, 0o644, 0o755

# Never part of a project: what an editor, a run of the code or git itself left in its directory.
_LEFT_OUT = frozenset({".git", "__pycache__"})

_GONE = "is the container still there, and does it run? `docker ps -a` tells"


@dataclass(frozen=True)
class ContainerFiles:
    """Files and programs of one running container.

    Args:
        engine: the engine it runs in.
        name: its name.
    """

    engine: Engine
    name: str

    def put(self, directory: str, files: Mapping[str, bytes]) -> None:
        """Write `files`, by their path below `directory`, over what is there."""
        self._unpack(directory, tar_of(files))

    def put_directory(self, directory: str, source: Path) -> None:
        """Copy the files below `source` to `directory`, without ``.git`` and ``__pycache__``."""
        self.put(
            directory,
            {
                path.relative_to(source).as_posix(): path.read_bytes()
                for path in sorted(source.rglob("*"))
                if path.is_file() and not _LEFT_OUT.intersection(path.relative_to(source).parts)
            },
        )

    def run(self, *argv: str, workdir: str = "/", environment: Mapping[str, str] | None = None) -> str:
        """Run a program to its end and return its standard output.

        Raises:
            OutsideError: it ended with another exit code than 0; the message holds what it wrote.
        """
        attempted = f"run `{' '.join(argv)}` in container '{self.name}'"
        with closing(self.engine.client()) as client:
            try:
                ended = client.containers.get(self.name).exec_run(
                    list(argv), workdir=workdir, environment=dict(environment or {}), demux=True
                )
            except (docker.errors.APIError, requests.RequestException) as error:
                raise OutsideError(attempted, seen=str(error), hint=_GONE) from error
        parts: tuple[bytes | None, bytes | None] = ended.output  # type: ignore[assignment] # what `demux` makes of it
        stdout, stderr = ((part or b"").decode("utf-8", errors="replace") for part in parts)
        if ended.exit_code != 0:
            raise OutsideError(
                attempted,
                seen=f"exit code {ended.exit_code}\n{stderr or stdout}",
                hint=f"correct what it says; until the run ends `docker exec -it {self.name} sh` goes there",
            )
        return stdout

    def _unpack(self, directory: str, archive: bytes) -> None:
        attempted = f"write to '{directory}' of container '{self.name}'"
        with closing(self.engine.client()) as client:
            try:
                client.containers.get(self.name).put_archive(directory, archive)
            except docker.errors.APIError as error:
                raise OutsideError(attempted, seen=str(error.explanation or error), hint=_GONE) from error


def tar_of(files: Mapping[str, bytes], *, private: Sequence[str] = ()) -> bytes:
    """Return a tar archive of `files` with the directories they are in; only their owner reads `private` ones."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in sorted({parent.as_posix() for name in files for parent in Path(name).parents} - {".", "/"}):
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, _FOLDER
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(content), _PRIVATE if name in private else _PLAIN
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
