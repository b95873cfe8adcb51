"""Go templates as Helm's charts are written in: text in, a tree of actions out; nothing is rendered.

Source: https://pkg.go.dev/text/template (Go 1.26), the grammar under "Actions", "Arguments" and "Pipelines".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
    | (?P<char>'(?:\\.|[^'\\])*')
    | (?P<assign>:=|=)
    | (?P<punct>[()|,])
    | (?P<variable>\$\w*)(?P<variable_fields>(?:\.\w+)*)
    | (?P<fields>(?:\.\w+)+)
    | (?P<dot>\.)
    | (?P<number>[-+]?\d[\w.+-]*)
    | (?P<word>\w+)
    )""",
    re.VERBOSE,
)
_ACTION = re.compile(
    r"\{\{-?\s*(?P<body>/\*.*?\*/|(?:\"(?:\\.|[^\"\\\n])*\"|`[^`]*`|'(?:\\.|[^'\\\n])*'|[^\"`'])*?)\s*-?\}\}", re.DOTALL
)


BlockKind = Literal["if", "with", "range"]
_BLOCKS: dict[str, BlockKind] = {"if": "if", "with": "with", "range": "range"}
_WORD = re.compile(r"\w*")


class TemplateSyntaxError(ValueError):
    """The text is no template that can be read here; Helm says what is wrong with it, if anything is."""


@dataclass(frozen=True)
class Constant:
    """A string, number, boolean or nil."""

    value: str | None


@dataclass(frozen=True)
class Dot:
    """The dot with the fields after it."""

    fields: tuple[str, ...]


@dataclass(frozen=True)
class Variable:
    """A variable with the fields after it; ``$`` itself is the root."""

    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """The name of a function."""

    name: str


@dataclass(frozen=True)
class Grouped:
    """A pipeline in parentheses with the fields after it."""

    pipeline: Pipeline
    fields: tuple[str, ...]


Operand = Constant | Dot | Variable | Function | Grouped


@dataclass(frozen=True)
class Pipeline:
    """Commands joined by ``|``, their last value optionally given to variables."""

    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Action:
    """``{{ pipeline }}``: printed, unless it sets a variable."""

    pipeline: Pipeline
    line: int


@dataclass(frozen=True)
class Block:
    """``if``, ``with`` or ``range`` with its two bodies."""

    kind: BlockKind
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    line: int


@dataclass(frozen=True)
class Call:
    """``{{ template "name" pipeline }}``, or the use that ``block`` makes of what it defines."""

    name: str
    argument: Pipeline | None
    line: int


Node = Action | Block | Call


@dataclass(frozen=True)
class Template:
    """One file: what it prints, and what it defines for others."""

    nodes: tuple[Node, ...]
    defines: tuple[tuple[str, tuple[Node, ...]], ...]


def parse(text: str) -> Template:
    """Read a template.

    Raises:
        TemplateSyntaxError: it cannot be read.
    """
    return _Parser(text).template()


class _Parser:
    def __init__(self, text: str) -> None:
        self._actions = list(_actions(text))
        self._next = 0
        self._defines: list[tuple[str, tuple[Node, ...]]] = []

    def template(self) -> Template:
        nodes, end = self._nodes()
        if end:
            raise TemplateSyntaxError(f"'{end}' with nothing to end")
        return Template(nodes, tuple(self._defines))

    def _nodes(self) -> tuple[tuple[Node, ...], str]:
        """Return the nodes up to an ``end`` or ``else``, and that action's text; empty at the end of the file."""
        nodes: list[Node] = []
        while self._next < len(self._actions):
            body, line = self._actions[self._next]
            self._next += 1
            word = _WORD.match(body).group()  # type: ignore[union-attr] # it fits everything
            rest = body[len(word) :].strip()
            if word in ("end", "else"):
                return tuple(nodes), body
            if word in ("break", "continue") and not rest:
                continue
            if word in _BLOCKS:
                nodes.append(self._block(_BLOCKS[word], rest, line))
            elif word in ("define", "block", "template"):
                nodes.extend(self._named(word, rest, line))
            else:
                nodes.append(Action(_pipeline(body), line))
        return tuple(nodes), ""

    def _named(self, word: str, rest: str, line: int) -> Iterator[Node]:
        match = re.match(r'("(?:\\.|[^"\\])*"|`[^`]*`)\s*', rest)
        if match is None:
            raise TemplateSyntaxError(f"'{word}' without a name")
        name, argument = match[1][1:-1], rest[match.end() :]
        if word != "template":
            body, end = self._nodes()
            if end != "end":
                raise TemplateSyntaxError(f"'{word}' without an end")
            self._defines.append((name, body))
        if word != "define":
            yield Call(name, _pipeline(argument) if argument else None, line)

    def _block(self, kind: BlockKind, head: str, line: int) -> Block:
        body, end = self._nodes()
        otherwise: tuple[Node, ...] = ()
        if end.startswith("else"):
            chained = end.removeprefix("else").strip()
            if chained.startswith("if"):
                otherwise = (self._block("if", chained.removeprefix("if"), line),)
            elif chained.startswith("with"):
                otherwise = (self._block("with", chained.removeprefix("with"), line),)
            else:
                otherwise, end = self._nodes()
                if end != "end":
                    raise TemplateSyntaxError(f"'{kind}' without an end")
        elif end != "end":
            raise TemplateSyntaxError(f"'{kind}' without an end")
        return Block(kind, _pipeline(head), body, otherwise, line)


def _actions(text: str) -> Iterator[tuple[str, int]]:
    """Yield the text inside each pair of braces with its line, comments left out."""
    position, line = 0, 1
    for match in _ACTION.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        body = match["body"].strip()
        if not body.startswith("/*"):
            yield body, line


def _pipeline(text: str) -> Pipeline:
    tokens = _Tokens(text)
    variables = tokens.declared()
    pipeline = tokens.pipeline()
    if not tokens.done():
        raise TemplateSyntaxError(f"cannot read '{text}'")
    return Pipeline(pipeline.commands, variables)


class _Tokens:
    """The tokens of one action."""

    def __init__(self, text: str) -> None:
        self._tokens: list[re.Match[str]] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.end() == position:
                raise TemplateSyntaxError(f"cannot read '{text[position:]}'")
            self._tokens.append(match)
            position = match.end()
        self._next = 0

    def done(self) -> bool:
        return self._next >= len(self._tokens)

    def declared(self) -> tuple[str, ...]:
        """Take ``$a, $b :=`` off the front."""
        for end, token in enumerate(self._tokens[:4]):
            if token["assign"]:
                self._next = end + 1
                return tuple(one["variable"] for one in self._tokens[:end] if one["variable"])
        return ()

    def pipeline(self) -> Pipeline:
        commands = [self._command()]
        while not self.done() and self._tokens[self._next]["punct"] == "|":
            self._next += 1
            commands.append(self._command())
        return Pipeline(tuple(commands))

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while not self.done():
            token = self._tokens[self._next]
            if token["punct"] in ("|", ")"):
                break
            self._next += 1
            operands.append(self._operand(token))
        if not operands:
            raise TemplateSyntaxError("a command is missing")
        return tuple(operands)

    def _operand(self, token: re.Match[str]) -> Operand:
        if token["punct"] == "(":
            return self._grouped()
        if token["punct"]:
            raise TemplateSyntaxError(f"unexpected '{token['punct']}'")
        if token["variable"]:
            return Variable(token["variable"], _fields(token["variable_fields"]))
        if token["fields"] or token["dot"]:
            return Dot(_fields(token["fields"] or ""))
        if token["string"]:
            return Constant(token["string"][1:-1])
        if token["word"] and token["word"] not in ("true", "false", "nil"):
            return Function(token["word"])
        return Constant(token["number"])

    def _grouped(self) -> Grouped:
        inner = self.pipeline()
        if self.done() or self._tokens[self._next]["punct"] != ")":
            raise TemplateSyntaxError("a parenthesis is not closed")
        close = self._tokens[self._next]
        self._next += 1
        fields: tuple[str, ...] = ()
        if not self.done():
            after = self._tokens[self._next]
            # Only what follows without a space belongs to the parenthesis.
            if after["fields"] and after.start("fields") == close.end():
                fields = _fields(after["fields"])
                self._next += 1
        return Grouped(inner, fields)


def _fields(text: str) -> tuple[str, ...]:
    return tuple(text.split(".")[1:]) if text else ()
