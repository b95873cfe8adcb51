"""`seatrial init`: what it writes, and what it leaves alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness import cli
from harness.charts import declaration
from harness.errors import SeatrialError
from harness.scaffold.scaffold import scaffold

ALWAYS = (
    "tests/test_charts.py",
    "tests/requirements.txt",
    "tests/seatrial.schema.json",
    ".github/workflows/charts.yml",
)


def write_chart(directory: Path) -> Path:
    """Write the least that is a chart."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: x\nversion: 1.0.0\n", encoding="utf-8")
    return directory


def files_below(directory: Path) -> dict[str, str]:
    """Return every file with its text."""
    return {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8")
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_charts_get_declarations_that_can_be_read(tmp_path: Path) -> None:
    """One beside each chart, its schema found from there; a chart within another is a part of that one."""
    write_chart(tmp_path / "charts" / "scorer")
    write_chart(tmp_path / "charts" / "scorer" / "charts" / "inner")
    write_chart(tmp_path / "deploy" / "all" / "app")
    written = scaffold(tmp_path, version="1.2.3", kubernetes=("1.33", "1.34"))
    assert written.charts == ("charts/scorer", "deploy/all/app")
    assert written.files == (*ALWAYS, "charts/scorer/seatrial.yaml", "deploy/all/app/seatrial.yaml")
    for chart in written.charts:
        text = (tmp_path / chart / "seatrial.yaml").read_text(encoding="utf-8")
        assert [case.name for case in declaration.parse(text, "seatrial.yaml").cases] == ["default"]
        schema = text.splitlines()[0].partition("$schema=")[2]
        assert (tmp_path / chart / schema).read_text(encoding="utf-8") == declaration.SCHEMA.read_text(encoding="utf-8")


def test_what_is_commented_out_can_be_commented_in(tmp_path: Path) -> None:
    """The examples in a fresh declaration are what the schema wants."""
    write_chart(tmp_path / "scorer")
    scaffold(tmp_path, version="1.2.3", kubernetes=("1.34",))
    lines = (tmp_path / "scorer" / "seatrial.yaml").read_text(encoding="utf-8").splitlines()
    # Those indented further than prose: prose ends with a colon or a comma.
    text = "\n".join(line.replace("    # ", "    ", 1) for line in lines if not line.endswith((", and how:", "from:")))
    (case,) = declaration.parse(text, "seatrial.yaml").cases
    assert set(case.details) >= {"answers", "from"}


def test_everything_is_filled_in(tmp_path: Path) -> None:
    """No placeholder is left; the versions are those given; the tests are Python."""
    write_chart(tmp_path)
    scaffold(tmp_path, version="1.2.3", kubernetes=("1.33", "1.34"))
    written = files_below(tmp_path)
    assert [name for name, text in written.items() if "@KUBERNETES@" in text or "@VERSION@" in text] == []
    assert written["tests/requirements.txt"] == "seatrial[charts]==1.2.3\n"
    assert "KUBERNETES: 1.33,1.34\n" in written[".github/workflows/charts.yml"]
    assert f"service: {tmp_path.name}\n" in written["seatrial.yaml"]
    ast.parse(written["tests/test_charts.py"])


def test_a_repository_without_charts_gets_the_rest(tmp_path: Path) -> None:
    """Tests and workflow find charts by themselves once there are some."""
    assert scaffold(tmp_path, version="1.2.3", kubernetes=("1.34",)).files == ALWAYS


def test_a_declaration_that_is_there_stays(tmp_path: Path) -> None:
    """It is no reason to refuse either: the chart needs no other."""
    own = write_chart(tmp_path / "app") / "seatrial.yaml"
    own.write_text("cases: []\n", encoding="utf-8")
    assert scaffold(tmp_path, version="1.2.3", kubernetes=("1.34",)).files == ALWAYS
    assert own.read_text(encoding="utf-8") == "cases: []\n"


def test_nothing_is_overwritten_and_nothing_half_done(tmp_path: Path) -> None:
    """Everything in the way is named at once, dangling links included, and no file is written."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_charts.py").write_text("mine", encoding="utf-8")
    (tmp_path / "tests" / "requirements.txt").symlink_to("nowhere")
    with pytest.raises(SeatrialError, match=r"there already: tests/test_charts\.py, tests/requirements\.txt") as caught:
        scaffold(tmp_path, version="1.2.3", kubernetes=("1.34",))
    assert "move them away" in str(caught.value)
    assert files_below(tmp_path) == {"tests/test_charts.py": "mine"}


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A typing error makes no repository."""
    with pytest.raises(SeatrialError, match="there is no such directory"):
        scaffold(tmp_path / "absent", version="1.2.3", kubernetes=("1.34",))
    assert not (tmp_path / "absent").exists()


def test_what_next_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file written, then commands; those for what is there already are left out."""
    assert cli.main(["init", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"wrote {tmp_path}/tests/test_charts.py\n" in told
    assert "  git init\n" in told
    assert "  helm create charts/NAME" in told
    assert "--snapshot-update" in told
    (tmp_path / "other" / ".git").mkdir(parents=True)
    write_chart(tmp_path / "other" / "charts" / "app")
    assert cli.main(["init", str(tmp_path / "other")]) == 0
    told = capsys.readouterr().out
    assert "git init" not in told
    assert "helm create" not in told


def test_a_second_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 1 and the files that are there."""
    assert cli.main(["init", str(tmp_path)]) == 0
    before = files_below(tmp_path)
    assert cli.main(["init", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ALWAYS)
    assert files_below(tmp_path) == before
