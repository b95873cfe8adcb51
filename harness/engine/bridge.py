"""Network bridges: one of our own for the managed engine, so that ``docker0`` is never touched."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from harness.errors import EngineError
from harness.process.command import Command
from harness.process.runner import Runner

BRIDGE = "seatrial0"
# Docker names the bridge of a network after the first twelve digits of the network's id.
NETWORK_BRIDGE = re.compile(r"br-[0-9a-f]{12}")

# One from each private range (RFC 1918), all away from kind's 10.244.0.0/16 and 10.96.0.0/12 and from what Docker hands
# out first; a VPN that routes a whole range leaves the next candidate.
SUBNETS = ("10.209.83.0/24", "172.31.250.0/24", "192.168.213.0/24", "10.77.209.0/24", "198.18.83.0/24")

Objects = list[dict[str, Any]]


class Bridges:
    """Makes, lists and removes bridges with the ``ip`` program.

    Args:
        runner: runs it.
        path: PATH to look it up on.
    """

    def __init__(self, runner: Runner, path: str) -> None:
        self._runner = runner
        self._path = path

    def ensure(self, name: str = BRIDGE) -> ipaddress.IPv4Interface:
        """Return the address of bridge `name`, making it on a free subnet when it is not there.

        Raises:
            EngineError: every candidate subnet is in use.
            CommandError: the bridge cannot be made.
        """
        # The address comes last: a bridge without one was left by a kill between the commands below.
        address = self._address(name)
        if address is not None:
            return address
        if name not in self.names():
            self._ip("link", "add", "name", name, "type", "bridge")
        address = free_subnet(self._json("-4", "route", "show", "table", "all"), self._json("-4", "address", "show"))
        self._ip("link", "set", name, "up")
        self._ip("address", "add", str(address), "dev", name)
        return address

    def names(self) -> frozenset[str]:
        """Return the names of all bridges of this network namespace."""
        # Some versions of ip print an empty object for every device that the type filter leaves out.
        return frozenset(link["ifname"] for link in self._json("link", "show", "type", "bridge") if "ifname" in link)

    def remove(self, names: frozenset[str]) -> None:
        """Remove those of `names` that are there."""
        for name in sorted(names & self.names()):
            self._ip("link", "delete", name, "type", "bridge")

    def _address(self, name: str) -> ipaddress.IPv4Interface | None:
        for link in self._json("-4", "address", "show"):
            if link.get("ifname") == name:
                for entry in link.get("addr_info", ()):
                    return ipaddress.IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")
        return None

    def _json(self, *arguments: str) -> Objects:
        text = self._ip("-json", *arguments)
        parsed: Objects = json.loads(text) if text.strip() else []
        return parsed

    def _ip(self, *arguments: str) -> str:
        command = Command(("ip", *arguments), env={"PATH": self._path}, timeout_s=10)
        return self._runner.run(command).check(hint="the network needs root and CAP_NET_ADMIN").stdout


def free_subnet(routes: Objects, addresses: Objects) -> ipaddress.IPv4Interface:
    """Return the first address of the first candidate subnet that nothing on this host uses or routes.

    Args:
        routes: ``ip -json -4 route show table all``; each has ``dst``.
        addresses: ``ip -json -4 address show``; each has ``addr_info``.

    Raises:
        EngineError: every candidate is in use.
    """
    used = [_network(str(route["dst"])) for route in routes if route.get("dst") not in {None, "default"}]
    used += [
        ipaddress.IPv4Interface(f"{entry['local']}/{entry['prefixlen']}").network
        for link in addresses
        for entry in link.get("addr_info", ())
    ]
    for candidate in map(ipaddress.IPv4Network, SUBNETS):
        if not any(candidate.overlaps(network) for network in used if network is not None):
            return ipaddress.IPv4Interface(f"{candidate[1]}/{candidate.prefixlen}")
    raise EngineError(
        "find a free subnet for the engine's bridge",
        seen=f"all in use or routed: {', '.join(SUBNETS)}",
        hint="start an engine by hand and name it with DOCKER_HOST",
    )


def _network(text: str) -> ipaddress.IPv4Network | None:
    """Parse a route's destination; a default route in the form 0.0.0.0/0 takes nothing away."""
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None
    return network if network.prefixlen else None
