"""A picture of traffic: latency over time, failures, what happened meanwhile, as SVG.

Drawn here rather than by a chart library: those that are light have no bands for phases and gaps and, with thousands of
points, write files of megabytes with scripts in them; the others bring NumPy to everybody who wants a test harness.
"""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.scoring.verdict import Verdict

WIDTH, HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 90, 78, 48
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

# Readable in black and white and by the colour-blind: failures are crosses, not only red (Okabe and Ito's palette).
_GOOD, _BAD, _GAP, _BANDS, _INK, _FAINT = "#0072b2", "#d55e00", "#fbe3d6", ("#eef2f5", "#dfe7ec"), "#222222", "#cccccc"
# Answers jitter: a gap of a few requests is the steady rate's own and says nothing.
_SMALLEST_GAP_REQUESTS = 5
_GAP_WORDS_PX = 90  # half of what the words at a gap take
_SECOND_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)
_MOST_TICKS = 10
_LONGEST_TITLE = 110


def draw(verdict: Verdict) -> str:
    """Return the picture as an SVG document without scripts, fonts or anything else from outside."""
    return _Picture(verdict).document()


class _Picture:
    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        done = [sample.done_s for sample in verdict.samples]
        self._seconds = max([verdict.duration_s, *done, 0.001])
        latencies = [max(sample.latency_s, 0.0001) * 1000 for sample in verdict.samples] or [1.0]
        # Whole powers of ten around what was measured, one at least.
        self._lowest = math.floor(math.log10(min(latencies)))
        self._highest = max(math.ceil(math.log10(max(latencies))), self._lowest + 1)
        self._svg = Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {WIDTH} {HEIGHT}",
                "width": str(WIDTH),
                "height": str(HEIGHT),
                "role": "img",
                "font-family": "sans-serif",
                "font-size": "12",
                "fill": _INK,
            },
        )

    def document(self) -> str:
        verdict = self._verdict
        SubElement(self._svg, "title").text = verdict.name
        SubElement(self._svg, "desc").text = verdict.story()
        self._rectangle(0, 0, WIDTH, HEIGHT, "#ffffff")
        self._bands()
        self._axes()
        self._percentiles()
        self._good()
        self._failures()
        self._heading()
        indent(self._svg)
        return tostring(self._svg, encoding="unicode") + "\n"

    def _x(self, second: float) -> float:
        return _LEFT + _PLOT_WIDTH * second / self._seconds

    def _y(self, ms: float) -> float:
        share = (math.log10(max(ms, 0.1)) - self._lowest) / (self._highest - self._lowest)
        return _TOP + _PLOT_HEIGHT * (1 - min(max(share, 0.0), 1.0))

    def _bands(self) -> None:
        for number, phase in enumerate(self._verdict.phases):
            left, right = self._x(phase.began_s), self._x(phase.ended_s)
            self._rectangle(left, _TOP, max(right - left, 1), _PLOT_HEIGHT, _BANDS[number % 2])
        began, ended = self._verdict.longest_gap
        if ended - began > _SMALLEST_GAP_REQUESTS / self._verdict.rate_per_s:
            left, right = self._x(began), self._x(ended)
            self._rectangle(left, _TOP, right - left, _PLOT_HEIGHT, _GAP)
            centre = min(max((left + right) / 2, _LEFT + _GAP_WORDS_PX), _LEFT + _PLOT_WIDTH - _GAP_WORDS_PX)
            self._text(centre, _TOP + 30, f"{ended - began:.2f} s without a good answer", anchor="middle")
        for phase in self._verdict.phases:
            self._text(self._x(phase.began_s) + 3, _TOP + 14, phase.name)

    def _axes(self) -> None:
        bottom = _TOP + _PLOT_HEIGHT
        for power in range(self._lowest, self._highest + 1):
            y = self._y(10.0**power)
            self._line(_LEFT, y, _LEFT + _PLOT_WIDTH, y, _FAINT)
            self._text(_LEFT - 6, y + 4, f"{10.0**power:g} ms", anchor="end")
        step = next((tick for tick in _SECOND_TICKS if self._seconds / tick <= _MOST_TICKS), self._seconds)
        for number in range(int(self._seconds / step) + 1):
            x = self._x(number * step)
            self._line(x, bottom, x, bottom + 4, _INK)
            self._text(x, bottom + 18, f"{number * step:g}", anchor="middle")
        self._line(_LEFT, bottom, _LEFT + _PLOT_WIDTH, bottom, _INK)
        self._line(_LEFT, _TOP, _LEFT, bottom, _INK)
        self._text(_LEFT + _PLOT_WIDTH / 2, HEIGHT - 10, "seconds since the traffic began", anchor="middle")

    def _percentiles(self) -> None:
        free = float(HEIGHT)
        for percent in (50, 95, 99):
            value = self._verdict.percentile_ms(percent)
            if value is None:
                continue
            y = self._y(value)
            line = self._line(_LEFT, y, _LEFT + _PLOT_WIDTH, y, _INK)
            line.set("stroke-dasharray", "2 4" if percent == 50 else "6 4")  # noqa: PLR2004 - the median
            free = min(y + 4, free - 12)  # labels of lines that are close stand above each other
            self._text(_LEFT + _PLOT_WIDTH + 4, free, f"p{percent} {value:.3g} ms")

    def _good(self) -> None:
        # One path of dots, each place once: the file stays small however many requests there were.
        places = {
            (round(self._x(sample.due_s)), round(self._y(sample.latency_s * 1000)))
            for sample in self._verdict.samples
            if not sample.failure
        }
        if places:
            dots = "".join(f"M{x} {y}h0" for x, y in sorted(places))
            look = {"stroke": _GOOD, "stroke-width": "3", "stroke-linecap": "round", "stroke-opacity": "0.6"}
            SubElement(self._svg, "path", {"class": "good", "d": dots, "fill": "none", **look})

    def _failures(self) -> None:
        places: dict[tuple[int, int], list[str]] = {}
        for sample in self._verdict.samples:
            if sample.failure:
                place = (round(self._x(sample.due_s)), round(self._y(sample.latency_s * 1000)))
                places.setdefault(place, []).append(f"{sample.failure} at {sample.due_s:.2f} s")
        for (x, y), what in sorted(places.items()):
            cross = SubElement(
                self._svg,
                "path",
                {"class": "failed", "d": f"M{x - 4} {y - 4}l8 8m0 -8l-8 8", "stroke": _BAD, "stroke-width": "2"},
            )
            SubElement(cross, "title").text = "\n".join(what)  # shown by browsers under the mouse

    def _heading(self) -> None:
        verdict = self._verdict
        name = verdict.name if len(verdict.name) <= _LONGEST_TITLE else f"{verdict.name[: _LONGEST_TITLE - 3]}..."
        self._text(_LEFT, 22, name).set("font-weight", "bold")
        connections = "kept connections" if verdict.keep_alive else "a new connection for each request"
        self._text(_LEFT, 40, f"{verdict.requests} requests, {verdict.rate_per_s:g} per second, {connections}")
        kinds = ", ".join(f"{count} {kind}" for kind, count in verdict.failures.items())
        failed = self._text(_LEFT, 58, f"{verdict.failed} failed{f': {kinds}' if kinds else ''}")
        if verdict.failed:
            failed.set("fill", _BAD)

    def _rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        size = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
        SubElement(self._svg, "rect", {**size, "fill": colour})

    def _line(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> Element:
        ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
        return SubElement(self._svg, "line", {**ends, "stroke": colour})

    def _text(self, x: float, y: float, words: str, *, anchor: str = "start") -> Element:
        element = SubElement(self._svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
        element.text = words
        return element
