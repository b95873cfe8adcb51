"""What is taken out of iptables again."""

from __future__ import annotations

import pytest

from harness.engine.firewall import parse_tables, undo_script

EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
OURS = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [12:34]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -p tcp -m comment --comment "somebody's own" -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o seatrial0 -j DOCKER
-A FORWARD -i seatrial0 ! -o seatrial0 -j ACCEPT
-A DOCKER -d 10.209.83.2/32 ! -i seatrial0 -o seatrial0 -p tcp -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A POSTROUTING -s 10.209.83.0/24 ! -o seatrial0 -j MASQUERADE
-A POSTROUTING -s 10.209.83.2/32 -d 10.209.83.2/32 -p tcp -j MASQUERADE
-A POSTROUTING -s 192.168.7.0/24 -o eth0 -j MASQUERADE
-A DOCKER ! -i seatrial0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.209.83.2:80
COMMIT
"""


def test_parse() -> None:
    """Chains with their policies and rules in order, table by table; comments and COMMIT are neither."""
    tables = parse_tables(f"# Generated\n{OURS}")
    assert list(tables) == ["filter", "nat"]
    assert tables["filter"].policies["FORWARD"] == "DROP"
    assert tables["filter"].policies["DOCKER"] == "-"
    assert len(tables["nat"].rules) == 4


def test_undo_all_that_is_ours() -> None:
    """Our rules, Docker's chains and the policy go; rules of others that came meanwhile stay."""
    assert undo_script(EMPTY, OURS, {"seatrial0"}, shared=False).splitlines() == [
        "*filter",
        "-D FORWARD -j DOCKER-USER",
        "-D FORWARD -o seatrial0 -j DOCKER",
        "-D FORWARD -i seatrial0 ! -o seatrial0 -j ACCEPT",
        "-D DOCKER -d 10.209.83.2/32 ! -i seatrial0 -o seatrial0 -p tcp -j ACCEPT",
        "-D DOCKER-USER -j RETURN",
        "-F DOCKER",
        "-F DOCKER-USER",
        "-X DOCKER",
        "-X DOCKER-USER",
        "-P FORWARD ACCEPT",
        "COMMIT",
        "*nat",
        "-D POSTROUTING -s 10.209.83.0/24 ! -o seatrial0 -j MASQUERADE",
        "-D POSTROUTING -s 10.209.83.2/32 -d 10.209.83.2/32 -p tcp -j MASQUERADE",
        "-D DOCKER ! -i seatrial0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.209.83.2:80",
        "-F DOCKER",
        "-X DOCKER",
        "COMMIT",
    ]


def test_undo_beside_another_engine() -> None:
    """With another engine at work only rules with our bridges go: chains, policy and common rules are its too."""
    script = undo_script(EMPTY, OURS, {"seatrial0"}, shared=True)
    for kept in ("-F", "-X", "-P", "DOCKER-USER"):
        assert kept not in script
    assert "-D FORWARD -o seatrial0 -j DOCKER" in script


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(OURS, OURS, id="all of it was there before"),
        pytest.param(EMPTY, EMPTY, id="nothing was added"),
        pytest.param("", EMPTY, id="a table that only came into being is as good as none"),
        pytest.param(EMPTY.replace("FORWARD ACCEPT", "FORWARD DROP"), EMPTY.replace("FORWARD ACCEPT", "FORWARD DROP"),
                     id="the policy was DROP already"),
    ],
)  # fmt: skip
def test_nothing_to_undo(before: str, now: str) -> None:
    """What was there before is left as it is: no script at all."""
    assert undo_script(before, now, {"seatrial0"}, shared=False) == ""


def test_a_rule_that_was_there_once_and_is_there_twice() -> None:
    """Of two equal rules only the one that came later goes."""
    rule = "-A FORWARD -j DOCKER-USER"
    before = EMPTY.replace("COMMIT", f":DOCKER-USER - [0:0]\n{rule}\nCOMMIT")
    now = before.replace(rule, f"{rule}\n{rule}")
    assert undo_script(before, now, set(), shared=False) == "*filter\n-D FORWARD -j DOCKER-USER\nCOMMIT\n"
