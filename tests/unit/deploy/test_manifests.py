"""Reading manifests, and the order in which they are applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.deploy.manifests import Manifest
from harness.errors import DeployError, ManifestError
from harness.images.reference import ImageRef

FIXTURES = Path(__file__).parents[3] / "fixtures" / "manifests"


def thing(kind: str, name: str = "x", **more: Any) -> dict[str, Any]:
    """A document."""
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        pytest.param("a: [", 1, "no YAML", id="unclosed list"),
        pytest.param("apiVersion: v1\nkind: ConfigMap\n", 1, "no metadata.name", id="no name"),
        pytest.param("\n\nkind: ConfigMap\nmetadata: {name: x}\n", 3, "no apiVersion", id="no apiVersion"),
        pytest.param("apiVersion: v1\nmetadata: {name: x}\n", 1, "no kind", id="no kind"),
        pytest.param("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 7}\n", 1, "no metadata.name", id="a number"),
        pytest.param("just words", 1, "not a mapping", id="no mapping"),
        pytest.param("apiVersion: v1\nkind: A\nkind: B\nmetadata: {name: x}\n", 3, "'kind' is there twice", id="twice"),
        pytest.param("# nothing\n---\n", 0, "holds no document", id="empty"),
    ],
)
def test_a_malformed_text_is_refused_with_its_line(text: str, line: int, told: str) -> None:
    """File, line and what is wrong."""
    with pytest.raises(ManifestError, match=told) as caught:
        Manifest.load(text)
    assert (caught.value.file, caught.value.line) == ("<text>", line)


def test_the_line_is_counted_over_documents() -> None:
    """The second document of the file is the bad one."""
    with pytest.raises(ManifestError) as caught:
        Manifest.load(FIXTURES / "faulty" / "no-kind.yaml")
    assert (Path(caught.value.file).name, caught.value.line) == ("no-kind.yaml", 7)


@pytest.mark.parametrize("source", [[], [thing("A"), {"kind": "B"}]], ids=["none", "one without a name"])
def test_malformed_dicts_are_refused(source: list[dict[str, Any]]) -> None:
    """The same rules as for text."""
    with pytest.raises(ManifestError):
        Manifest.load(source)


def test_a_missing_file_and_an_empty_directory_are_refused(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(ManifestError, match=r"absent\.yaml"):
        Manifest.load(tmp_path / "absent.yaml")
    with pytest.raises(ManifestError, match="the directory holds none"):
        Manifest.load(tmp_path)


def test_a_directory_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    """Files of other suffixes are passed over; JSON is read too."""
    (tmp_path / "2.yml").write_text("apiVersion: v1\nkind: B\nmetadata: {name: b}\n", encoding="utf-8")
    (tmp_path / "1.json").write_text('{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}', encoding="utf-8")
    (tmp_path / "README.md").write_text("a: [", encoding="utf-8")
    assert [document.kind for document in Manifest.load(tmp_path).documents] == ["A", "B"]


def test_lists_are_opened_and_dates_stay_texts() -> None:
    """A List holds documents of its own; Kubernetes knows no dates."""
    text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}, day: 2026-01-02}\n"
    assert Manifest.load(text).bodies[0]["day"] == "2026-01-02"


def test_namespaces_and_definitions_come_first_the_rest_keeps_its_order() -> None:
    """Whatever order they were written in."""
    definition = thing("CustomResourceDefinition", spec={"scope": "Cluster", "names": {"kind": "Sea"}})
    manifest = Manifest.load([thing("Sea"), thing("B"), definition, thing("Namespace"), thing("A")])
    refs = manifest.refs("n")
    assert [ref.kind for ref in refs] == ["Namespace", "CustomResourceDefinition", "Sea", "B", "A"]
    assert [ref.namespace for ref in refs] == ["", "", "", "n", "n"]


def test_an_image_is_replaced_where_it_is_named_and_nowhere_else() -> None:
    """The original stays as it was."""
    manifest = Manifest.load(FIXTURES / "py-flask-ml-score.yaml")
    new = ImageRef("example/test-ml-score-api:src-1", "sha256:1", "example/test-ml-score-api:src-1")
    changed = manifest.with_image("example/test-ml-score-api:latest", new)
    assert "example/test-ml-score-api:src-1" in str(changed.bodies)
    assert "src-1" not in str(manifest.bodies)
    with pytest.raises(DeployError, match="named are example/test-ml-score-api:latest"):
        manifest.with_image("example/other:latest", new)


def test_labels_are_added_to_the_objects_not_to_their_pods() -> None:
    """Labels that are there stay."""
    manifest = Manifest.load(FIXTURES / "py-flask-ml-score.yaml").with_labels({"seatrial.dev/run": "1f2e"})
    deployment = manifest.bodies[1]
    assert deployment["metadata"]["labels"] == {"app": "test-ml-score-api", "env": "qa", "seatrial.dev/run": "1f2e"}
    assert "seatrial.dev/run" not in deployment["spec"]["template"]["metadata"]["labels"]
