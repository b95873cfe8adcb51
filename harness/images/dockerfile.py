"""What must be known of a Dockerfile before it is built: that it is one, and which images it starts from.

The engine remains the judge of everything else. Format: Dockerfile reference of Docker 20.10 (the classic builder's).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ImageBuildError

_KEYWORDS = frozenset(
    {
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    }
)
_VARIABLE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<braced>\w+)(?::(?P<how>[-+])(?P<word>[^}]*))?\})")
_FLAG = re.compile(r"--(?P<name>[\w-]+)=(?P<value>\S+)\s*")
_ESCAPE_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*`", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Args:
        line: line number it starts on, from 1.
        keyword: in capitals, e.g. ``FROM``.
        value: the rest, continuation lines joined.
    """

    line: int
    keyword: str
    value: str


def read_dockerfile(path: Path) -> tuple[Instruction, ...]:
    """Return the instructions of the Dockerfile at `path`.

    Raises:
        ImageBuildError: it is missing, unreadable, empty, holds an unknown instruction, or does not begin with FROM.
    """
    attempted = f"build an image from '{path}'"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ImageBuildError(attempted, seen="there is no such file", hint="write one or name another") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ImageBuildError(attempted, seen=str(error), hint="a Dockerfile is a readable UTF-8 text file") from error
    instructions = _parse(text)
    problems = [
        f"line {each.line}: unknown instruction '{each.keyword}'"
        for each in instructions
        if each.keyword not in _KEYWORDS
    ]
    problems += [f"line {each.line}: {each.keyword} needs an argument" for each in instructions if not each.value]
    problems += [
        f"line {each.line}: FROM names no image"
        for each in instructions
        if each.keyword == "FROM" and each.value and not _FLAG.sub("", f"{each.value} ").strip()
    ]
    first = next((each for each in instructions if each.keyword != "ARG"), None)
    if first is None:
        problems.append("no instruction FROM: nothing says what the image starts from")
    elif first.keyword != "FROM" and not problems:
        problems.append(f"line {first.line}: {first.keyword} before FROM: only ARG may come first")
    if problems:
        raise ImageBuildError(
            attempted,
            seen="\n".join(problems),
            hint="correct the Dockerfile; the engine's classic builder knows no heredocs",
        )
    return instructions


def _parse(text: str) -> tuple[Instruction, ...]:
    escape = "`" if _ESCAPE_DIRECTIVE.match(text) else "\\"
    instructions: list[Instruction] = []
    joined, start = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        # Comments and empty lines may stand between the lines of one instruction.
        if not line or line.startswith("#"):
            continue
        start = start if joined else number
        joined += line
        if joined.endswith(escape):
            joined = joined[:-1].rstrip() + " "
            continue
        instructions.append(_instruction(start, joined))
        joined = ""
    if joined.strip():
        instructions.append(_instruction(start, joined))
    return tuple(instructions)


def _instruction(line: int, text: str) -> Instruction:
    keyword, _, value = text.strip().partition(" ")
    return Instruction(line, keyword.upper(), value.strip())


def base_images(instructions: Sequence[Instruction], build_args: Mapping[str, str]) -> tuple[str, ...]:
    """Return the images that FROM and ``COPY --from`` name, in order, without ``scratch`` and the file's own stages.

    Args:
        instructions: from :func:`read_dockerfile`.
        build_args: values for the ARGs above the first FROM; only those count in FROM.
    """
    variables: dict[str, str] = {}
    # A stage is named by its number, from 0, or by what stands after AS.
    stages: set[str] = {"scratch"}
    stage_count = 0
    images: list[str] = []
    for each in instructions:
        named, aliases = "", [str(stage_count)]
        if each.keyword == "ARG" and not stage_count:
            for declared in each.value.split():
                name, _, default = declared.partition("=")
                variables[name] = build_args.get(name, _expand(default.strip("\"'"), variables))
        elif each.keyword == "FROM":
            written, *alias = _FLAG.sub("", each.value).split()
            named = _expand(written, variables)
            aliases += [alias[1].lower()] if len(alias) > 1 else []
            stage_count += 1
        elif each.keyword == "COPY":
            named = next((flag["value"] for flag in _FLAG.finditer(each.value) if flag["name"] == "from"), "")
        if named and named.lower() not in stages:
            images.append(named)
        if each.keyword == "FROM":
            stages.update(aliases)
    return tuple(dict.fromkeys(images))


def _expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$NAME``, ``${NAME}``, ``${NAME:-word}`` and ``${NAME:+word}`` as the builder does in FROM."""

    def value(match: re.Match[str]) -> str:
        found = variables.get(match["bare"] or match["braced"], "")
        if match["how"] == "-":
            return found or _expand(match["word"], variables)
        if match["how"] == "+":
            return match["word"] if found else ""
        return found

    return _VARIABLE.sub(value, text)
