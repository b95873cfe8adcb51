"""Reading Dockerfiles: the refusals before anything starts, and the images they start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ImageBuildError
from harness.images.dockerfile import base_images, read_dockerfile


def write(directory: Path, text: str) -> Path:
    """Write a Dockerfile."""
    path = directory / "Dockerfile"
    path.write_text(text, encoding="utf-8")
    return path


def test_instructions_keep_their_line_and_are_joined(tmp_path: Path) -> None:
    """Continuation lines belong to one instruction, comments between them to none, whatever the keyword's case."""
    path = write(tmp_path, "# a comment\nfrom python\n\nRUN a \\\n  # between\n  b\nCMD x")
    assert [(each.line, each.keyword, each.value) for each in read_dockerfile(path)] == [
        (2, "FROM", "python"),
        (4, "RUN", "a b"),
        (7, "CMD", "x"),
    ]


def test_the_escape_character_can_be_declared(tmp_path: Path) -> None:
    """`# escape=` on the first line changes what continues a line."""
    path = write(tmp_path, "# escape=`\nFROM a\nRUN dir C:\\\nRUN b `\n c\n")
    assert [each.value for each in read_dockerfile(path)] == ["a", "dir C:\\", "b c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "FROM", id="empty"),
        pytest.param("# nothing\n", "FROM", id="comments only"),
        pytest.param("ARG X=1\n", "FROM", id="no FROM"),
        pytest.param("RUN true\nFROM a\n", "line 1: RUN before FROM", id="something before FROM"),
        pytest.param("FROM a\nRUNN true\n", "line 2: unknown instruction 'RUNN'", id="misspelt"),
        pytest.param("FROM a\nRUN\n", "line 2: RUN needs an argument", id="no argument"),
        pytest.param("FROM\n", "line 1: FROM needs an argument", id="FROM nothing"),
        pytest.param("FROM --platform=linux/amd64\n", "line 1: FROM names no image", id="FROM with a flag only"),
    ],
)
def test_a_malformed_dockerfile_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """The refusal names the file, the line and the fault."""
    path = write(tmp_path, text)
    with pytest.raises(ImageBuildError) as caught:
        read_dockerfile(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    """Two faults need one run to be seen."""
    with pytest.raises(ImageBuildError) as caught:
        read_dockerfile(write(tmp_path, "FROM a\nFOO x\nBAR y\n"))
    assert "FOO" in str(caught.value)
    assert "BAR" in str(caught.value)


def test_a_missing_dockerfile_is_named(tmp_path: Path) -> None:
    """The path looked at is in the message."""
    with pytest.raises(ImageBuildError, match="there is no such file"):
        read_dockerfile(tmp_path / "Dockerfile")


@pytest.mark.parametrize("make", ["directory", "binary"])
def test_what_cannot_be_read_as_text_is_refused(tmp_path: Path, make: str) -> None:
    """A directory or bytes that are no text give the typed error too."""
    path = tmp_path / "Dockerfile"
    path.mkdir() if make == "directory" else path.write_bytes(b"FROM \xff\xfe")
    with pytest.raises(ImageBuildError, match="readable UTF-8 text"):
        read_dockerfile(path)


@pytest.mark.parametrize(
    ("text", "args", "images"),
    [
        pytest.param("FROM a:1", {}, ("a:1",), id="plain"),
        pytest.param("ARG B=a\nFROM ${B}", {}, ("a",), id="default of an argument"),
        pytest.param("ARG B=a\nFROM $B", {"B": "b"}, ("b",), id="given argument"),
        pytest.param("ARG B\nFROM ${B:-a}", {}, ("a",), id="default at the place of use"),
        pytest.param('ARG T="1"\nARG B=a:$T\nFROM $B', {}, ("a:1",), id="argument made of another, quoted"),
        pytest.param("ARG B=a\nFROM $B\nARG B=c\nFROM $B", {}, ("a",), id="an argument below FROM does not count"),
        pytest.param("FROM $X", {"X": "undeclared"}, (), id="an undeclared argument has no value"),
        pytest.param("FROM a AS one\nFROM one\nFROM b", {}, ("a", "b"), id="own stage by name"),
        pytest.param("FROM a as a\nRUN x", {}, ("a",), id="a stage named as its image"),
        pytest.param("FROM a\nFROM scratch\nCOPY --from=0 /x /x", {}, ("a",), id="own stage by number, and scratch"),
        pytest.param("FROM a\nCOPY --from=b:2 /x /x", {}, ("a", "b:2"), id="copied from another image"),
        pytest.param("FROM --platform=linux/amd64 a", {}, ("a",), id="with a flag"),
        pytest.param("FROM a\nCOPY --chown=1:1 --from=b /x /x", {}, ("a", "b"), id="copied with two flags"),
    ],
)
def test_the_images_a_build_starts_from(
    tmp_path: Path, text: str, args: dict[str, str], images: tuple[str, ...]
) -> None:
    """Every image from outside is named once, stages of the file itself are not."""
    assert base_images(read_dockerfile(write(tmp_path, text)), args) == images
