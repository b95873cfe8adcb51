"""The table itself: names that follow from one another and clash with nobody's."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import pytest

from harness.settings.options import OPTIONS, Option, take_out_foreign_defaults

# What `pytest --help` needs none of: together they take most of a second to import.
HEAVY = ("docker", "jsonschema", "kubernetes", "pykube", "requests", "tenacity", "urllib3", "yaml")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_names_follow_from_the_flag(option: Option) -> None:
    """Knowing the flag is knowing the variable and the ini key."""
    words = option.flag.removeprefix("--").split("-")
    assert option.variable == "_".join(["SEATRIAL", *(word.upper() for word in words)])
    assert option.ini_key == "_".join(["seatrial", *words])


def test_names_are_unique() -> None:
    """No two options share a name or the place their value is kept in."""
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    assert len({option.dest for option in OPTIONS}) == len(OPTIONS)


def test_values_are_kept_apart_from_other_plugins() -> None:
    """Only pytest-kind's own options live under a name without Seatrial's prefix."""
    assert {option.dest for option in OPTIONS if not option.dest.startswith("seatrial_")} == {
        "cluster_name",
        "keep_cluster",
        "kubeconfig",
        "kind_image",
        "kind_bin",
        "kind_kubectl_bin",
    }


def test_foreign_defaults_are_taken_out_once() -> None:
    """pytest-kind's default name counts as not given; what a parallel worker received from the controller stays."""
    values = argparse.Namespace(cluster_name="pytest-kind", keep_cluster=False, verbose=1)
    take_out_foreign_defaults(values)
    assert (values.cluster_name, values.keep_cluster, values.verbose) == (None, None, 1)
    values.cluster_name = "pytest-kind"
    take_out_foreign_defaults(values)
    assert values.cluster_name == "pytest-kind"


@pytest.mark.parametrize(
    "module", ["harness.plugin", "harness.settings.resolve", "harness.evidence.recorder", "harness.evidence.summary"]
)
def test_loading_is_cheap(module: str) -> None:
    """What pytest loads at its start imports nothing heavy, directly or through others."""
    source = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in json.loads(ended.stdout)}
    assert loaded.isdisjoint(HEAVY)
