"""Which values a chart's templates read: the templates are followed, not rendered.

What is followed: fields of ``.Values`` from wherever the root has got to (``$``, variables, ``with``, ``range``, the
arguments of ``include`` and ``template``, ``dict``), ``index``, ``get``, ``dig``, ``default`` and their like, templates
defined by subcharts and library charts, values given to subcharts, global values, and templates inside values when
``tpl`` is used.

What is not: what is chosen at run time (a key computed from another value, a template included by a computed name).
Where that happens the whole that was chosen from counts as read, so that nothing is reported which may be in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.charts import go_template
from harness.charts.chart import Chart
from harness.charts.go_template import Action, Block, Call, Constant, Dot, Function, Grouped, Node, Operand, Pipeline

Path = tuple[str, ...]
# Values under this key are every chart's.
GLOBAL = "global"


@dataclass(frozen=True)
class Read:
    """One place where a template reads a value.

    Args:
        path: of the value, seen from the top chart.
        whole: whether everything below it is read too: it is printed or handed on. Otherwise it is only asked
            whether it is there or true.
        optional: whether the template copes with its absence.
        file: of the template, relative to the top chart; empty when the place cannot be pointed at.
        line: 1-based.
        own: whether the top chart's own template reads it, rather than a subchart's.
    """

    path: Path
    whole: bool
    optional: bool
    file: str
    line: int
    own: bool


@dataclass(frozen=True)
class Uses:
    """Everything a chart's templates read.

    Args:
        reads: in no particular order.
        complete: whether every template could be followed; otherwise nothing can be said of what is not read.
    """

    reads: tuple[Read, ...]
    complete: bool


def find_uses(chart: Chart) -> Uses:
    """Return what the templates of `chart` and of its subcharts read."""
    return _Walk(chart).uses()


# --- what an expression may stand for ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Root:
    """The context Helm gives to the templates of the chart whose values are at `prefix`."""

    prefix: Path


@dataclass(frozen=True)
class _Value:
    """The value at `path`; `top` when it is all values of a chart."""

    path: Path
    top: bool = False


@dataclass(frozen=True)
class _Dict:
    """A ``dict`` made in a template; a key that is computed is ``None``."""

    items: tuple[tuple[str | None, _Thing], ...]


@dataclass(frozen=True)
class _Either:
    """One of several."""

    things: tuple[_Thing, ...]


@dataclass(frozen=True)
class _Text:
    """A constant string."""

    text: str


@dataclass(frozen=True)
class _Other:
    """Anything else: nothing can be read through it."""


_Thing = _Root | _Value | _Dict | _Either | _Text | _Other
_OTHER = _Other()


def _either(things: Sequence[_Thing]) -> _Thing:
    flat = (one for thing in things for one in (thing.things if isinstance(thing, _Either) else (thing,)))
    kept = tuple(dict.fromkeys(one for one in flat if not isinstance(one, _Other)))
    return kept[0] if len(kept) == 1 else _Either(kept) if kept else _OTHER


def _field(thing: _Thing, name: str) -> _Thing:  # noqa: PLR0911 - one per kind of thing
    if isinstance(thing, _Root):
        if name == "Values":
            return _Value(thing.prefix, top=True)
        # .Subcharts.NAME is the root of a subchart.
        return _Subcharts(thing.prefix) if name == "Subcharts" else _OTHER
    if isinstance(thing, _Subcharts):
        return _Root((*thing.prefix, name))
    if isinstance(thing, _Value):
        return _Value((GLOBAL,)) if thing.top and name == GLOBAL else _Value((*thing.path, name))
    if isinstance(thing, _Dict):
        return _either([value for key, value in thing.items if key in (name, None)])
    if isinstance(thing, _Either):
        return _either([_field(one, name) for one in thing.things])
    return _OTHER


@dataclass(frozen=True)
class _Subcharts(_Other):
    """``.Subcharts`` of a root."""

    prefix: Path = ()


# Functions that ask about their arguments: nothing needs to be there.
_ASKING = frozenset(
    {"and", "or", "not", "empty", "kindIs", "kindOf", "typeIs", "typeOf", "typeIsLike", "hasKey", "fail"}
)
# Functions whose result holds their arguments, or one of them.
_PASSING = frozenset(
    {
        "and", "or", "coalesce", "default", "ternary", "required", "deepCopy", "mustDeepCopy", "merge", "mustMerge",
        "mergeOverwrite", "mustMergeOverwrite", "omit", "pick", "set", "unset", "tuple", "list", "first", "last",
    }
)  # fmt: skip
# Of those, the ones for which an absent argument is fine.
_FORGIVING = frozenset({"and", "or", "coalesce", "default", "ternary", "required"})


@dataclass
class _Frame:
    """Where the walk is: a body with its dot and its variables."""

    root: _Thing
    dot: _Thing
    variables: dict[str, _Thing]
    file: str
    own: bool
    # In a template that was reached by guessing, or inside a value.
    guessed: bool = False
    asking: bool = False

    def inside(self, dot: _Thing) -> _Frame:
        """The same place with another dot; variables set there do not come back out."""
        return _Frame(self.root, dot, dict(self.variables), self.file, self.own, self.guessed)


@dataclass
class _Walk:
    chart: Chart
    reads: dict[Read, None] = field(default_factory=dict)
    complete: bool = True
    _defines: dict[str, list[tuple[tuple[Node, ...], str, bool]]] = field(default_factory=dict)
    _called: set[tuple[str, _Thing, bool]] = field(default_factory=set)
    _line: int = 0
    _tpl: bool = False

    def uses(self) -> Uses:
        bodies = list(self._parse(self.chart, (), ""))
        for nodes, prefix, file in bodies:
            root = _Root(prefix)
            self._nodes(nodes, _Frame(root, root, {"$": root}, file, own=not prefix))
        self._read_by_helm(self.chart, ())
        if self._tpl:
            for prefix, text in _texts_within(self.chart, ()):
                root = _Root(prefix)
                self._guess(text, _Frame(root, root, {"$": root}, "", own=False, guessed=True))
        return Uses(tuple(self.reads), self.complete)

    def _parse(self, chart: Chart, prefix: Path, folder: str) -> Iterator[tuple[tuple[Node, ...], Path, str]]:
        for file in chart.templates:
            try:
                template = go_template.parse(file.text)
            except go_template.TemplateSyntaxError:
                self.complete = False
                continue
            for name, body in template.defines:
                self._defines.setdefault(name, []).append((body, f"{folder}{file.path}", not prefix))
            # What a library's files print goes nowhere.
            if not chart.is_library:
                yield template.nodes, prefix, f"{folder}{file.path}"
        for key, subchart in chart.subcharts.items():
            yield from self._parse(subchart, (*prefix, key), f"{folder}charts/{subchart.name}/")

    def _read_by_helm(self, chart: Chart, prefix: Path) -> None:
        """Note what Helm itself reads: conditions and tags, and values for charts that are not here to be read."""
        for dependency in chart.metadata.dependencies:
            for condition in dependency.conditions:
                self._note((*prefix, *condition.split(".")), whole=True, optional=True)
            if dependency.imports is None or dependency.imports:
                self._note((*prefix, dependency.key), whole=True, optional=True)
        if chart.metadata.dependencies:
            self._note((*prefix, "tags"), whole=True, optional=True)
        for dependency in chart.missing:
            self._note((*prefix, dependency.key), whole=True, optional=True)
            self._note((GLOBAL,), whole=True, optional=True)
        for key, subchart in chart.subcharts.items():
            # What it declares is its own affair: reported, if unused, when it is checked itself.
            self._read_by_helm(subchart, (*prefix, key))

    def _note(
        self, path: Path, *, whole: bool, optional: bool, file: str = "", line: int = 0, own: bool = False
    ) -> None:
        self.reads[Read(path, whole, optional, file, line, own)] = None

    # --- statements

    def _nodes(self, nodes: Sequence[Node], frame: _Frame) -> None:
        for node in nodes:
            self._line = node.line
            if isinstance(node, Action):
                thing = self._pipeline(node.pipeline, frame)
                if not node.pipeline.variables:
                    self._consume(thing, frame)
            elif isinstance(node, Call):
                argument = self._pipeline(node.argument, frame) if node.argument else _OTHER
                self._call(node.name, argument, frame)
            else:
                self._block(node, frame)

    def _block(self, node: Block, frame: _Frame) -> None:
        inner = frame.inside(frame.dot)
        inner.asking = node.kind != "range"
        thing = self._pipeline(node.pipeline, inner)
        inner.asking = False
        if node.kind == "range":
            inner.dot = self._element(thing, inner)
            for name in node.pipeline.variables:
                inner.variables[name] = _OTHER
            if node.pipeline.variables:
                inner.variables[node.pipeline.variables[-1]] = inner.dot
        else:
            self._ask(thing, inner)
            if node.kind == "with":
                inner.dot = thing
        self._nodes(node.body, inner)
        other = frame.inside(frame.dot)
        self._nodes(node.otherwise, other)
        # What a body gave to a variable of outside may be what it holds from here on.
        for name in frame.variables.keys() - set(node.pipeline.variables):
            frame.variables[name] = _either([one.variables[name] for one in (frame, inner, other)])

    def _element(self, thing: _Thing, frame: _Frame) -> _Thing:
        """Return what ``range`` goes through; of values that is the whole of them."""
        if isinstance(thing, _Dict):
            return _either([value for _, value in thing.items])
        if isinstance(thing, _Either):
            return _either([self._element(one, frame) for one in thing.things])
        self._consume(thing, frame, optional=True)
        return _OTHER

    # --- expressions

    def _pipeline(self, pipeline: Pipeline, frame: _Frame) -> _Thing:
        thing: _Thing | None = None
        for command in pipeline.commands:
            thing = self._command(command, thing, frame)
        result = thing or _OTHER
        for name in pipeline.variables:
            frame.variables[name] = result
        return result

    def _command(self, command: Sequence[Operand], piped: _Thing | None, frame: _Frame) -> _Thing:
        first, *rest = command
        if isinstance(first, Function):
            return self._function(first.name, rest, piped, frame)
        thing = self._operand(first, frame)
        # Anything else with arguments is a method, e.g. `.Files.Get "x"`.
        for argument in rest:
            self._consume(self._operand(argument, frame), frame)
        if piped is not None:
            self._consume(piped, frame)
        return thing

    def _operand(self, operand: Operand, frame: _Frame) -> _Thing:
        if isinstance(operand, Constant):
            return _Text(operand.value) if operand.value is not None else _OTHER
        if isinstance(operand, Function):
            return self._function(operand.name, (), None, frame)
        if isinstance(operand, Grouped):
            thing = self._pipeline(operand.pipeline, frame)
        elif isinstance(operand, Dot):
            thing = frame.dot
        else:
            thing = frame.variables.get(operand.name, _OTHER)
        for name in operand.fields:
            thing = _field(thing, name)
        return thing

    def _function(self, name: str, operands: Sequence[Operand], piped: _Thing | None, frame: _Frame) -> _Thing:  # noqa: PLR0911 - one per kind of function
        asking = frame.asking
        frame.asking = asking or name in _ASKING or name in _FORGIVING
        things = [self._operand(operand, frame) for operand in operands]
        frame.asking = asking
        if piped is not None:
            things.append(piped)
        if name in ("include", "tpl") and things:
            return self._included(name, things, frame)
        if name in ("index", "get", "dig"):
            return self._chosen(name, things, frame)
        if name == "dict":
            return self._made(things, frame)
        if name == "hasKey" and len(things) > 1 and isinstance(things[1], _Text):
            self._ask(_field(things[0], things[1].text), frame)
            return _OTHER
        if name in _FORGIVING or name in _ASKING:
            for thing in things:
                self._ask(thing, frame)
            return _either(things) if name in _PASSING else _OTHER
        if name in _PASSING:
            return _either([thing for thing in things if not isinstance(thing, _Text)])
        for thing in things:
            self._consume(thing, frame)
        return _OTHER

    def _made(self, things: Sequence[_Thing], frame: _Frame) -> _Thing:
        """Return what ``dict "a" X "b" Y`` makes."""
        for key in things[0::2]:
            self._consume(key, frame)
        pairs = zip(things[0::2], things[1::2], strict=False)
        return _Dict(tuple((key.text if isinstance(key, _Text) else None, thing) for key, thing in pairs))

    def _included(self, name: str, things: Sequence[_Thing], frame: _Frame) -> _Thing:
        target, argument = things[0], things[1] if len(things) > 1 else _OTHER
        if name == "tpl":
            self._tpl = True
            self._consume(target, frame)
            if isinstance(target, _Text):
                self._guess(target.text, _Frame(argument, argument, {"$": argument}, frame.file, frame.own))
        elif isinstance(target, _Text):
            self._call(target.text, argument, frame)
        else:
            self._consume(target, frame)
            for known in self._defines:
                self._call(known, argument, frame, guessed=True)
        return _OTHER

    def _chosen(self, name: str, things: list[_Thing], frame: _Frame) -> _Thing:
        """Follow ``index X "a" "b"``, ``get X "a"`` and ``dig "a" "b" DEFAULT X``."""
        if not things:
            return _OTHER
        if name == "dig":
            thing, keys = things[-1], things[:-2]
        else:
            thing, keys = things[0], things[1:]
        for key in keys:
            if not isinstance(key, _Text) or key.text.isdigit():
                self._consume(thing, frame, optional=True)
                self._consume(key, frame)
                return _OTHER
            thing = _field(thing, key.text)
        if name != "index":
            self._ask(thing, frame)
        return thing

    def _call(self, name: str, argument: _Thing, frame: _Frame, *, guessed: bool = False) -> None:
        guessed = guessed or frame.guessed
        if (name, argument, guessed) in self._called:
            return
        self._called.add((name, argument, guessed))
        line = self._line
        for body, file, own in self._defines.get(name, ()):
            self._nodes(body, _Frame(argument, argument, {"$": argument}, file, own=own, guessed=guessed))
        self._line = line

    def _guess(self, text: str, frame: _Frame) -> None:
        try:
            template = go_template.parse(text)
        except go_template.TemplateSyntaxError:
            self.complete = False
            return
        frame.guessed = True
        self._nodes(template.nodes, frame)

    # --- reading

    def _consume(self, thing: _Thing, frame: _Frame, *, optional: bool = False) -> None:
        """Note that `thing` is printed, computed with or handed on."""
        if isinstance(thing, _Value):
            self._seen(thing.path, frame, whole=True, optional=optional)
        elif isinstance(thing, _Root):
            # The context as a whole, e.g. `toYaml .`: all values are in it.
            self._seen(thing.prefix, frame, whole=True, optional=True)
        elif isinstance(thing, _Either):
            for one in thing.things:
                self._consume(one, frame, optional=optional)
        elif isinstance(thing, _Dict):
            for _, one in thing.items:
                if not isinstance(one, _Root):
                    self._consume(one, frame, optional=optional)

    def _ask(self, thing: _Thing, frame: _Frame) -> None:
        """Note that it is asked whether `thing` is there or true."""
        if isinstance(thing, _Value):
            self._seen(thing.path, frame, whole=False, optional=True)
        elif isinstance(thing, _Either):
            for one in thing.things:
                self._ask(one, frame)

    def _seen(self, path: Path, frame: _Frame, *, whole: bool, optional: bool) -> None:
        optional = optional or frame.guessed or frame.asking
        self._note(path, whole=whole, optional=optional, file=frame.file, line=self._line, own=frame.own)


def _texts_within(chart: Chart, prefix: Path) -> Iterator[tuple[Path, str]]:
    """Yield the texts that ``tpl`` may be given: strings among the values, and files that read values."""
    for text in _strings(chart.values):
        if "{{" in text:
            yield prefix, text
    for values in chart.sets:
        for text in _strings(values.inline):
            if "{{" in text:
                yield prefix, text
    for file in chart.others:
        if ".Values" in file.text and "{{" in file.text and not file.path.endswith((".md", ".tgz")):
            yield prefix, file.text
    for key, subchart in chart.subcharts.items():
        yield from _texts_within(subchart, (*prefix, key))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
