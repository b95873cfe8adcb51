"""What an engine leaves in iptables, as a difference between two ``iptables-save`` texts.

dockerd adds chains whose names begin with DOCKER, rules that lead to them, rules that name its bridges or their
subnets, and turns the FORWARD policy to DROP; it removes none of it when it ends (seen with 20.10.24).
"""

from __future__ import annotations

import ipaddress
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

CHAIN_PREFIX = "DOCKER"
# The one built-in chain whose policy dockerd changes (Docker documentation, "Packet filtering and firewalls").
FORWARD = "FORWARD"


@dataclass
class Table:
    """One table of an ``iptables-save`` text.

    Args:
        policies: chain -> policy, ``-`` for a chain somebody made.
        rules: the ``-A`` lines, in order.
    """

    policies: dict[str, str] = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)


def parse_tables(saved: str) -> dict[str, Table]:
    """Parse the text that ``iptables-save`` prints (iptables-save(8)), table by table."""
    tables: dict[str, Table] = {}
    current = Table()
    for line in saved.splitlines():
        if line.startswith("*"):
            current = tables.setdefault(line[1:].strip(), Table())
        elif line.startswith(":"):
            chain, policy, *_ = line[1:].split()
            current.policies[chain] = policy
        elif line.startswith("-A "):
            current.rules.append(line.strip())
    return tables


def undo_script(before: str, now: str, bridges: Iterable[str], *, shared: bool) -> str:
    """Return what ``iptables-restore --noflush`` must be told to undo what our engine did, empty for nothing.

    Only what was not there before is removed, and of that only what is Docker's: rules of other programs that came
    meanwhile stay.

    Args:
        before: ``iptables-save`` before our engine started.
        now: ``iptables-save`` now.
        bridges: our engine's bridges.
        shared: whether another engine works with the same tables; its chains, and the policy, stay then.
    """
    was, script = parse_tables(before), []
    names = frozenset(bridges)
    for name, table in parse_tables(now).items():
        lines = _undo_table(was.get(name, Table()), table, names, shared=shared)
        if lines:
            script += [f"*{name}", *lines, "COMMIT"]
    return "\n".join([*script, ""]) if script else ""


def _undo_table(was: Table, now: Table, bridges: frozenset[str], *, shared: bool) -> list[str]:
    subnets = _subnets(now.rules, bridges)
    kept = Counter(was.rules)
    removals = []
    for rule in now.rules:
        if kept[rule]:
            kept[rule] -= 1
        elif _is_ours(rule, bridges, subnets, shared=shared):
            removals.append("-D" + rule.removeprefix("-A"))
    if shared:
        return removals
    chains = [chain for chain in now.policies if chain.startswith(CHAIN_PREFIX) and chain not in was.policies]
    removals += [f"-F {chain}" for chain in chains] + [f"-X {chain}" for chain in chains]
    # A table that was not there yet had the kernel's own policy.
    policy = was.policies.get(FORWARD, "ACCEPT")
    if now.policies.get(FORWARD, policy) != policy:
        removals.append(f"-P {FORWARD} {policy}")
    return removals


def _is_ours(rule: str, bridges: frozenset[str], subnets: list[ipaddress.IPv4Network], *, shared: bool) -> bool:
    words = shlex.split(rule)
    if bridges & {_after(words, "-i"), _after(words, "-o")}:
        return True
    source = _network(_after(words, "-s"))
    if source is not None and "MASQUERADE" in words and any(source.subnet_of(subnet) for subnet in subnets):
        return True
    return not shared and (words[1].startswith(CHAIN_PREFIX) or _after(words, "-j").startswith(CHAIN_PREFIX))


def _subnets(rules: list[str], bridges: frozenset[str]) -> list[ipaddress.IPv4Network]:
    """Return the subnets of our bridges: their MASQUERADE rules carry both."""
    words = [shlex.split(rule) for rule in rules]
    named = (_network(_after(rule, "-s")) for rule in words if "MASQUERADE" in rule and _after(rule, "-o") in bridges)
    return [network for network in named if network is not None]


def _network(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError:
        return None


def _after(words: list[str], flag: str) -> str:
    """Return the word after `flag`, empty when there is none."""
    return words[words.index(flag) + 1] if flag in words[:-1] else ""
