"""The engine's own bridge and its subnet."""

from __future__ import annotations

import json

import pytest

from harness.engine.bridge import SUBNETS, Bridges, free_subnet
from harness.errors import CommandError, EngineError
from harness.testing import RecordingRunner

FIRST = "10.209.83.1/24"


def addresses(*interfaces: str) -> list[dict[str, object]]:
    """List interfaces as ip does."""
    entries = [interface.split("/") for interface in interfaces]
    return [{"ifname": f"e{n}", "addr_info": [{"local": a, "prefixlen": int(p)}]} for n, (a, p) in enumerate(entries)]


@pytest.mark.parametrize(
    ("routes", "used", "expected"),
    [
        pytest.param([], (), FIRST, id="an idle host gets the first candidate"),
        pytest.param(["default", "172.17.0.0/16"], (), FIRST, id="a default route takes nothing away"),
        pytest.param(["10.0.0.0/8"], (), "172.31.250.1/24", id="a VPN that routes a whole range"),
        pytest.param(["10.0.0.0/8", "172.16.0.0/12"], (), "192.168.213.1/24", id="two ranges routed"),
        pytest.param([], ("10.209.83.77/32",), "172.31.250.1/24", id="an address inside the candidate"),
        pytest.param(["0.0.0.0/0", "not an address"], (), FIRST, id="what is no destination is passed over"),
    ],
)
def test_free_subnet(routes: list[str], used: tuple[str, ...], expected: str) -> None:
    """The first candidate that no route and no address overlaps is taken."""
    assert str(free_subnet([{"dst": route} for route in routes], addresses(*used))) == expected


def test_no_subnet_is_free() -> None:
    """With every candidate routed the error names them and the way out."""
    with pytest.raises(EngineError, match="DOCKER_HOST") as caught:
        free_subnet([{"dst": subnet} for subnet in SUBNETS], [])
    assert SUBNETS[0] in str(caught.value)


def host(*, bridges: tuple[str, ...] = (), shown: tuple[tuple[str, str], ...] = ()) -> RecordingRunner:
    """Script what ip answers on a host with these bridges and addresses."""
    runner = RecordingRunner()
    runner.on("ip", "link", "show", "type", "bridge", stdout=json.dumps([{"ifname": name} for name in bridges]))
    runner.on("ip", "route", "show", stdout="")
    links = [{"ifname": n, "addr_info": [{"local": a.split("/")[0], "prefixlen": 24}]} for n, a in shown]
    runner.on("ip", "address", "show", stdout=json.dumps(links))
    for verb in ("add", "set", "delete"):
        runner.on("ip", "link", verb)
    runner.on("ip", "address", "add")
    return runner


def changes(runner: RecordingRunner) -> list[tuple[str, ...]]:
    """Return what was changed, not what was only looked at."""
    return [command.argv[1:] for command in runner.commands if command.argv[1] != "-json"]


def test_makes_the_bridge() -> None:
    """A new bridge is made, brought up and, last, given its address."""
    runner = host()
    assert str(Bridges(runner, "/sbin").ensure()) == FIRST
    assert changes(runner) == [
        ("link", "add", "name", "seatrial0", "type", "bridge"),
        ("link", "set", "seatrial0", "up"),
        ("address", "add", FIRST, "dev", "seatrial0"),
    ]


def test_uses_the_bridge_that_is_there() -> None:
    """A bridge with an address is used as it is."""
    runner = host(bridges=("seatrial0",), shown=(("seatrial0", "192.168.213.1/24"),))
    assert str(Bridges(runner, "/sbin").ensure()) == "192.168.213.1/24"
    assert changes(runner) == []


def test_finishes_a_bridge_without_address() -> None:
    """A bridge left half made by a kill is finished, not made twice."""
    runner = host(bridges=("seatrial0",))
    Bridges(runner, "/sbin").ensure()
    assert [argv[:2] for argv in changes(runner)] == [("link", "set"), ("address", "add")]


def test_removes_only_what_is_there() -> None:
    """Of the names given only existing bridges are removed."""
    runner = host(bridges=("seatrial0", "docker0"))
    Bridges(runner, "/sbin").remove(frozenset({"seatrial0", "br-000000000000"}))
    assert changes(runner) == [("link", "delete", "seatrial0", "type", "bridge")]


def test_refusal_of_the_kernel() -> None:
    """What ip refuses is a command error."""
    runner = RecordingRunner()
    runner.on("ip", stderr="RTNETLINK answers: Operation not permitted", exit_code=2)
    with pytest.raises(CommandError, match="CAP_NET_ADMIN"):
        Bridges(runner, "/sbin").ensure()
