"""Building images: what the content digest depends on, and how a build that fails is told."""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
import requests

from harness.engine.engine import Engine
from harness.errors import ImageBuildError, SupplyError
from harness.images.build import BuildRequest, ImageBuilder, _archive, _base_id, _RunningBuild, content_digest
from harness.naming import Run

# Nothing listens there: a test that talks to an engine fails.
NO_ENGINE = Engine("unix:///nonexistent/docker.sock", "", managed=False)
DOCKERFILE = "FROM a\nCOPY api.py ./\n"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A directory with a Dockerfile and a program."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (directory / "api.py").write_text("print(1)\n", encoding="utf-8")
    return directory


def digest(app: Path, *, base: str = "sha256:1", **changes: Any) -> str:
    """The content digest of a build of `app`."""
    request = BuildRequest(app, "example/api", **changes)
    context = io.BytesIO()
    _archive(request, context, "build")
    return content_digest(context, request, [base])


def test_the_digest_is_the_same_for_the_same_content(app: Path) -> None:
    """Times of files do not count: a fresh clone gives the same digest."""
    before = digest(app)
    os.utime(app / "api.py", (1, 1))
    assert digest(app) == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda app: (app / "api.py").write_text("print(2)\n"), id="a file's content"),
        pytest.param(lambda app: (app / "new.py").write_text(""), id="a new empty file"),
        pytest.param(lambda app: (app / "api.py").rename(app / "other.py"), id="a file's name"),
        pytest.param(lambda app: (app / "api.py").chmod(0o755), id="a file's mode"),
        pytest.param(lambda app: (app / "link").symlink_to("api.py"), id="a link"),
        pytest.param(lambda app: (app / "Dockerfile").write_text(DOCKERFILE + "USER 1\n"), id="the Dockerfile"),
        pytest.param(lambda app: (app / "empty").mkdir(), id="an empty directory"),
    ],
)
def test_the_digest_changes_with_the_directory(app: Path, change: Any) -> None:
    """Whatever can change the image changes the digest."""
    before = digest(app)
    change(app)
    assert digest(app) != before


def test_the_digest_changes_with_what_is_not_in_the_directory(app: Path) -> None:
    """The base image, the arguments, the stage and the choice of Dockerfile count."""
    (app / "Other").write_text(DOCKERFILE, encoding="utf-8")
    digests = {
        digest(app),
        digest(app, base="sha256:2"),
        digest(app, build_args={"A": "1"}),
        digest(app, build_args={"A": "2"}),
        digest(app, target="one"),
        digest(app, dockerfile="Other"),
    }
    assert len(digests) == 6


def test_the_order_of_arguments_does_not_count(app: Path) -> None:
    """Arguments are a mapping."""
    assert digest(app, build_args={"A": "1", "B": "2"}) == digest(app, build_args={"B": "2", "A": "1"})


@pytest.mark.parametrize(
    ("ignore", "counts"),
    [
        pytest.param("notes/\n", False, id="a directory"),
        pytest.param("**/*.txt\n", False, id="a pattern"),
        pytest.param("**\n!api.py\n", False, id="all but the program"),
        pytest.param("# notes\n\n", True, id="a comment ignores nothing"),
        pytest.param("notes\n!notes/a.txt\n", True, id="an exception from the rule"),
    ],
)
def test_what_dockerignore_names_does_not_count(app: Path, ignore: str, counts: bool) -> None:
    """An ignored file is not sent, so changing it builds nothing."""
    (app / ".dockerignore").write_text(ignore, encoding="utf-8")
    (app / "notes").mkdir()
    (app / "notes" / "a.txt").write_text("1", encoding="utf-8")
    before = digest(app)
    (app / "notes" / "a.txt").write_text("2", encoding="utf-8")
    assert (digest(app) != before) is counts


def test_the_dockerfile_counts_even_when_ignored(app: Path) -> None:
    """The engine needs it whatever .dockerignore says."""
    (app / ".dockerignore").write_text("**\n", encoding="utf-8")
    before = digest(app)
    (app / "Dockerfile").write_text("FROM b\n", encoding="utf-8")
    assert digest(app) != before


@pytest.mark.parametrize("missing", ["directory", "Dockerfile"])
def test_nothing_to_build_is_an_error_before_the_engine_is_asked(app: Path, missing: str) -> None:
    """The engine here does not exist: the error is about the input."""
    directory = app / "nowhere" if missing == "directory" else app
    (app / "Dockerfile").unlink()
    builder = ImageBuilder(NO_ENGINE, run=Run("1", 1, 1, 1), log_dir=app / "logs", timeout_s=1)
    with pytest.raises(ImageBuildError, match="no such"):
        builder.build(BuildRequest(directory, "example/api"))
    assert not (app / "logs").exists()


def test_a_digest_cannot_be_built(app: Path) -> None:
    """What a build gives is known afterwards only."""
    builder = ImageBuilder(NO_ENGINE, run=Run("1", 1, 1, 1), log_dir=app / "logs", timeout_s=1)
    with pytest.raises(ImageBuildError, match="pins a digest"):
        builder.build(BuildRequest(app, f"example/api@sha256:{'0' * 64}"))


def test_a_log_that_cannot_be_written_is_told_before_the_build(app: Path) -> None:
    """The directory for logs is a file here; no engine is asked."""
    builder = ImageBuilder(NO_ENGINE, run=Run("1", 1, 1, 1), log_dir=app / "api.py", timeout_s=1)
    never: Any = None
    with pytest.raises(ImageBuildError, match="its log"):
        builder._build(never, BuildRequest(app, "example/api"), io.BytesIO(), "example/api:src-1", "1", print)


def test_a_file_that_cannot_be_archived_is_an_error(app: Path) -> None:
    """A file that vanishes or may not be read is told as part of the build's failure."""
    (app / "Dockerfile").unlink()
    (app / "Dockerfile").symlink_to("api.py")
    (app / ".dockerignore").write_bytes(b"\xff\xfe")
    with pytest.raises(ImageBuildError, match="reading the build context"):
        digest(app)


class Images:
    """The `images` of an engine's client; a pull by supply puts one there."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def get(self, name: str) -> Any:
        """Return an image, as the SDK does."""
        if name not in self.known:
            raise docker.errors.ImageNotFound(name)
        return SimpleNamespace(id=f"id of {name}")


@pytest.mark.parametrize("there", [True, False], ids=["in the engine", "elsewhere"])
def test_a_base_image_is_pulled_once_it_is_missing(there: bool) -> None:
    """The pull is supply's, which knows whether it may and records it; it gets the complete name."""
    images, pulled = Images(), []
    client: Any = SimpleNamespace(images=images)
    images.known |= {"app:1"} if there else set()

    def pull(name: str) -> None:
        pulled.append(name)
        images.known.add("app:1")

    assert _base_id(client, "app:1", "build it", pull, lambda _: None) == "id of app:1"
    assert pulled == ([] if there else ["docker.io/library/app:1"])


def _switched_off(name: str) -> None:
    raise SupplyError(f"use image {name}", seen="pulling is switched off", hint="docker pull it")


@pytest.mark.parametrize(
    ("pull", "words"),
    [
        pytest.param(_switched_off, ("pulling is switched off", "docker pull it"), id="pulling is switched off"),
        pytest.param(None, ("not in the engine",), id="there is nobody to pull"),
    ],
)
def test_a_base_image_that_may_not_be_pulled_is_a_failed_build(pull: Any, words: tuple[str, ...]) -> None:
    """The base is named, with why it is not there and what to pass instead."""
    client: Any = SimpleNamespace(images=Images())
    with pytest.raises(ImageBuildError) as caught:
        _base_id(client, "app:1", "build it", pull, lambda _: None)
    for expected in (*words, "'app:1'", "BASE_IMAGE"):
        assert expected in str(caught.value)


def follow(*messages: Mapping[str, Any] | Exception, timeout_s: float = 60.0) -> tuple[str, list[str]]:
    """Let scripted messages stand for an engine's."""

    def stream() -> Generator[Mapping[str, Any], None, None]:
        for message in messages:
            if isinstance(message, Exception):
                raise message
            yield message

    lines: list[str] = []
    build = _RunningBuild(NO_ENGINE, "build image 'x'", Path("x.log"), lines.append, timeout_s)
    return build.follow(stream()), lines


def test_a_build_gives_its_id_and_its_lines() -> None:
    """Lines appear in order, progress of pulls does not."""
    image_id, lines = follow(
        {"stream": "Step 1/1 : FROM a\n"},
        {"status": "Downloading", "progressDetail": {"current": 1}, "id": "abc"},
        {"status": "Pull complete", "id": "abc"},
        {"stream": " ---> 123\n\n"},
        {"aux": {"ID": "sha256:123"}},
    )
    assert image_id == "sha256:123"
    assert lines == ["Step 1/1 : FROM a", "abc Pull complete", " ---> 123"]


@pytest.mark.parametrize(
    ("last", "words"),
    [
        pytest.param({"error": "returned a non-zero code: 1"}, "non-zero code: 1", id="a step failed"),
        pytest.param(requests.ConnectionError("hung up"), "hung up", id="the engine hung up"),
        pytest.param({"stream": "odd end"}, "without naming an image", id="no image at the end"),
    ],
)
def test_a_failed_build_names_its_step_and_shows_its_log(last: Any, words: str) -> None:
    """The error holds the step, the end of the log, the reason and where the whole log is."""
    with pytest.raises(ImageBuildError) as caught:
        follow({"stream": "Step 1/2 : FROM a\n"}, {"stream": "Step 2/2 : RUN false\n"}, {"stream": "oh dear\n"}, last)
    assert caught.value.facts["step"] == "Step 2/2 : RUN false"
    assert caught.value.facts["log"] == "x.log"
    for expected in (words, "oh dear", "x.log"):
        assert expected in str(caught.value)


def test_a_build_past_its_limit_is_told_so() -> None:
    """The first message after the limit ends the build with the limit in the error."""
    with pytest.raises(ImageBuildError, match=r"time limit of 0 s"):
        follow({"stream": "Step 1/2 : RUN sleep\n"}, timeout_s=0.0)
