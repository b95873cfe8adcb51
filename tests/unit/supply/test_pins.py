"""The pin file and what is read from it."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from harness.errors import SupplyError
from harness.supply.pins import Arch, Pins, host_arch, minor

DIGEST = "b" * 64


@pytest.fixture
def tool_pins() -> Pins:
    """Return pins with one download for one processor."""
    download = {
        "version": "v2.0.1",
        "url": "https://example.org/tool-{version}-{arch}.tar.gz",
        "member": "linux-{arch}/tool",
        "sha256": {"amd64": DIGEST},
    }
    return Pins({"versions": {"tool": "v2.0.1"}, "download": {"tool": download}})


def test_address_and_member_carry_version_and_processor(tool_pins: Pins) -> None:
    """A published file is where the pin file's pattern says, for the processor asked for."""
    published = tool_pins.published_file("tool", "amd64")
    assert published is not None
    assert published.url == "https://example.org/tool-v2.0.1-amd64.tar.gz"
    assert published.member == "linux-amd64/tool"
    assert published.key == f"v2.0.1-{'b' * 12}"


@pytest.mark.parametrize(("name", "arch"), [("tool", "arm64"), ("other", "amd64")])
def test_without_a_digest_nothing_is_published(tool_pins: Pins, name: str, arch: Any) -> None:
    """A program, or a processor, without a pinned digest cannot be downloaded at all."""
    assert tool_pins.published_file(name, arch) is None


def test_file_for_every_processor_has_one_digest() -> None:
    """What holds no programs is the same on every processor."""
    pins = Pins({"download": {"chart": {"version": "1.0.0", "url": "https://example.org/chart.tgz", "sha256": DIGEST}}})
    for arch in get_args(Arch):
        published = pins.published_file("chart", arch)
        assert published is not None
        assert published.sha256 == DIGEST


def test_unknown_pin_names_the_known_ones(tool_pins: Pins) -> None:
    """Asking for a pin that is not there says which there are."""
    with pytest.raises(SupplyError, match="tool"):
        tool_pins.version("kindd")


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1.34.4", (1, 34)), ("1.25", (1, 25)), ("v3.20.2+g8fb76d6", (3, 20)), ("v0.32.0-alpha", (0, 32))],
)
def test_minor_of(version: str, expected: tuple[int, int]) -> None:
    """Major and minor are read from every way versions are written."""
    assert minor(version) == expected


def test_minor_of_no_version() -> None:
    """A name is not a version."""
    with pytest.raises(ValueError, match="bookworm"):
        minor("bookworm")


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("AMD64", "amd64")])
def test_processors_are_spelled_as_publishers_do(machine: str, arch: str) -> None:
    """The kernel's name of a processor becomes the publishers' name."""
    assert host_arch(machine) == arch


def test_unknown_processor_is_refused() -> None:
    """On a processor nothing is pinned for, the error says so instead of fetching something that cannot run."""
    with pytest.raises(SupplyError, match="riscv64"):
        host_arch("riscv64")


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
@pytest.mark.parametrize("name", ["kind", "kubectl", "helm"])
def test_the_tools_people_download_are_pinned_for_both_processors(name: str, arch: Any) -> None:
    """kind, kubectl and helm have an HTTPS address and a whole SHA-256 for each processor."""
    published = Pins.load().published_file(name, arch)
    assert published is not None
    assert published.url.startswith("https://")
    assert published.version in published.url
    assert re.fullmatch(r"[0-9a-f]{64}", published.sha256)


def test_published_chart_is_of_the_operator_that_is_built() -> None:
    """Downloading and building give the same release, apart from the letter that Go puts before versions."""
    pins = Pins.load()
    published = pins.published_file("seldon-core-operator", "amd64")
    assert published is not None
    assert f"v{published.version}" == pins.version("seldon-operator")
    assert published.url.startswith("https://")
    assert re.fullmatch(r"[0-9a-f]{64}", published.sha256)


@pytest.mark.parametrize(
    "name", ["node-1.34", "python-3.11", "registry", "metallb-controller-image", "metallb-speaker-image"]
)
def test_public_images_are_named_by_digest_alone(name: str) -> None:
    """A public image is pinned by digest; a tag beside it would suggest that it mattered."""
    published = Pins.load().published_image(name)
    assert published is not None
    assert re.fullmatch(r"[a-z./]+@sha256:[0-9a-f]{64}", published.reference)


def test_published_load_balancer_is_the_one_that_is_built() -> None:
    """Its version is in the name that Seatrial's node image has it under, and the manifests belong to one release."""
    pins = Pins.load()
    for program in ("controller", "speaker"):
        published = pins.published_image(f"metallb-{program}-image")
        assert published is not None
        assert published.version == pins.version("metallb")
        assert f"/{program}@" in published.reference


TOOLS = (
    ("kind", "kind"),
    ("helm", "helm"),
    ("kubectl", "kubernetes-1.34"),
    ("kubectl-1.21", "kubernetes-1.21"),
)


def test_tool_releases_agree_with_what_is_built() -> None:
    """Downloading and building give the same version, so that a run does not depend on the way."""
    pins = Pins.load()
    for name, pin in TOOLS:
        published = pins.published_file(name, "amd64")
        assert published is not None
        assert published.version == pins.version(pin)
