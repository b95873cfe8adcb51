"""The picture of traffic: well-formed, complete, small, and without anything from outside."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harness.evidence.traffic_picture import HEIGHT, WIDTH, draw
from harness.scoring.verdict import Phase, Sample, Verdict

SVG = "{http://www.w3.org/2000/svg}"


def verdict(*samples: Sample, **facts: Any) -> Verdict:
    """Traffic of ten requests per second."""
    defaults: dict[str, Any] = {"name": "upgrade <2>", "duration_s": len(samples) / 10}
    return Verdict(
        curl="curl http://h", rate_per_s=10.0, keep_alive=True, started_at=1.0, samples=samples, **defaults | facts
    )


def sample(number: int, failure: str = "", latency_s: float = 0.01) -> Sample:
    """The request of that number."""
    return Sample(number / 10, number / 10, number / 10 + latency_s, failure)


BROKEN = verdict(
    *(sample(number, "connection refused" if 30 <= number < 40 else "") for number in range(100)),
    phases=(Phase("roll out", 2.0, 5.0), Phase("roll back", 5.0, 8.0)),
    unsent=2,
)


def texts(picture: str) -> list[str]:
    """The words a reader sees."""
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def test_picture_tells_the_verdict() -> None:
    """Name, figures, kinds of failure, phases, the longest gap and the percentiles can be read."""
    seen = "\n".join(texts(draw(BROKEN)))
    for words in (
        "upgrade <2>",
        "102 requests, 10 per second, kept connections",
        "12 failed: 10 connection refused, 2 not sent",
        "roll out",
        "roll back",
        "1.10 s without a good answer",
        "p50 10 ms",
        "p95 10 ms",
        "p99 10 ms",
        "seconds since the traffic began",
    ):
        assert words in seen


def test_every_failure_is_marked() -> None:
    """Each has a cross that says its kind and moment under the mouse; good answers have none."""
    root = ET.fromstring(draw(BROKEN))
    crosses = [path for path in root.iter(f"{SVG}path") if path.get("class") == "failed"]
    assert [cross.findtext(f"{SVG}title") for cross in crosses] == [
        f"connection refused at {number / 10:.2f} s" for number in range(30, 40)
    ]


def test_good_traffic_shows_neither_failure_nor_gap() -> None:
    """Nothing alarms where nothing failed."""
    picture = draw(verdict(*(sample(number) for number in range(50))))
    assert "0 failed" in texts(picture)
    assert "without a good answer" not in "".join(texts(picture))
    assert 'class="failed"' not in picture


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(verdict(duration_s=0.0), id="no request"),
        pytest.param(verdict(sample(0)), id="one request"),
        pytest.param(verdict(sample(0, "timeout")), id="one failure"),
        pytest.param(verdict(sample(0, latency_s=0.0)), id="no latency"),
        pytest.param(verdict(sample(0, latency_s=600.0)), id="ten minutes of latency"),
        pytest.param(verdict(*(sample(n) for n in range(10)), phases=(Phase("x", 0.5, 0.5),)), id="an empty phase"),
        pytest.param(verdict(sample(0), duration_s=7200.0), id="two hours"),
        pytest.param(verdict(sample(0), name="x" * 500), id="a long name"),
    ],
)
def test_everything_stays_within_the_picture(of: Verdict) -> None:
    """No figure is too small, too large or too many to be drawn."""
    root = ET.fromstring(draw(of))
    for element in root.iter():
        for name, limit in (("x", WIDTH), ("x1", WIDTH), ("x2", WIDTH), ("y", HEIGHT), ("y1", HEIGHT), ("y2", HEIGHT)):
            assert 0 <= float(element.get(name, 0)) <= limit


def test_picture_of_many_requests_stays_small() -> None:
    """A hundred thousand requests take no more room than the picture has places."""
    many = verdict(*(Sample(n / 1000, n / 1000, n / 1000 + 0.001 + n % 97 / 1000) for n in range(100_000)))
    assert len(draw(many)) < 500_000


def test_picture_needs_nothing_from_outside() -> None:
    """No script, no link, no style sheet: it can be opened from any artifact store."""
    picture = draw(BROKEN)
    assert "script" not in picture
    assert "href" not in picture
    assert picture.count("http") == picture.count("http://www.w3.org/2000/svg") + picture.count("curl http://h")
