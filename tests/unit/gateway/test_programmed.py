"""What counts as a route that the gateway follows."""

from __future__ import annotations

from typing import Any

import pytest

from harness.gateway.programmed import is_accepted, is_own_answer, routes_of


def route(prefix: str = "/seldon/demo/app/", *, generation: int = 2, **conditions: tuple[str, int]) -> dict[str, Any]:
    """A route with the conditions of one parent: type=(status, observed generation)."""
    return {
        "metadata": {"name": "r", "namespace": "demo", "generation": generation},
        "spec": {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": prefix}}]}]},
        "status": {
            "parents": [
                {
                    "conditions": [
                        {"type": kind, "status": status, "observedGeneration": seen}
                        for kind, (status, seen) in conditions.items()
                    ]
                }
            ]
        },
    }


@pytest.mark.parametrize("asked", ["/seldon/demo/app/", "/seldon/demo/app"])
def test_a_slash_at_the_end_makes_no_difference(asked: str) -> None:
    """A Mapping ends in one, people forget it."""
    assert routes_of(asked, {"demo/r": route()}) == [route()]


@pytest.mark.parametrize("asked", ["/seldon/demo/ap", "/seldon/demo/app/two", "/"])
def test_other_prefixes_are_not_taken_for_it(asked: str) -> None:
    """Nor are routes that match by header only."""
    grpc = {"metadata": {"name": "g"}, "spec": {"rules": [{"matches": [{"headers": []}]}]}}
    assert routes_of(asked, {"demo/r": route(), "demo/g": grpc}) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(route(Accepted=("True", 2), ResolvedRefs=("True", 2)), True, id="accepted as it stands"),
        pytest.param(route(Accepted=("True", 1), ResolvedRefs=("True", 1)), False, id="accepted before it changed"),
        pytest.param(route(Accepted=("True", 2), ResolvedRefs=("False", 2)), False, id="a backend is missing"),
        pytest.param(route(Accepted=("False", 2), ResolvedRefs=("True", 2)), False, id="refused"),
        pytest.param(route(Accepted=("True", 2)), False, id="half looked at"),
        pytest.param({"metadata": {}, "spec": {}}, False, id="not looked at"),
    ],
)
def test_acceptance_is_about_the_route_as_it_stands(body: dict[str, Any], expected: bool) -> None:
    """Both conditions, for the present generation."""
    assert is_accepted(body) is expected


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        pytest.param(404, ["server"], True, id="Envoy has no route"),
        pytest.param(503, ["server"], True, id="nothing is behind the route yet"),
        pytest.param(404, ["server", "x-envoy-upstream-service-time"], False, id="the service's own 404"),
        pytest.param(200, ["x-envoy-upstream-service-time"], False, id="an answer"),
        pytest.param(504, ["server"], False, id="the service is slow"),
    ],
)
def test_envoys_own_answers_are_told_from_the_services(status: int, headers: list[str], expected: bool) -> None:
    """By the header that only answers from behind Envoy have."""
    assert is_own_answer(status, headers) is expected
