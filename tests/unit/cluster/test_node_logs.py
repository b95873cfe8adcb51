"""Known causes in node logs."""

from __future__ import annotations

from pathlib import Path

from harness.cluster.node_logs import known_causes


def test_a_cause_is_found_in_any_nodes_log(tmp_path: Path) -> None:
    """One node that could not start its kubelet is enough."""
    for name, text in (("a", "fine\n"), ("b", 'err="inotify_init: too many open files"\n')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kubelet.log").write_text(text, encoding="utf-8")
    (cause,) = known_causes(tmp_path)
    assert "fs.inotify.max_user_instances" in cause


def test_a_node_that_could_not_even_boot(tmp_path: Path) -> None:
    """What the node's own container wrote counts as well, whatever its spelling; one cause is told once."""
    text = "Failed to create control group inotify object: Too many open files\n"
    (tmp_path / "a-control-plane.log").write_text(text, encoding="utf-8")
    (tmp_path / "b-worker.log").write_text(text, encoding="utf-8")
    (cause,) = known_causes(tmp_path)
    assert "remove other clusters" in cause


def test_logs_that_say_nothing_known(tmp_path: Path) -> None:
    """No guess is better than a wrong one."""
    (tmp_path / "kubelet.log").write_text("some other trouble", encoding="utf-8")
    assert known_causes(tmp_path) == ()
