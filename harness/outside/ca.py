"""A certificate authority of one run's own, for services that stand in for public names.

Its private key lives in this process's memory and nowhere else. What trusts it is told so by variables: no trust
store is changed, the host's least of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme

# Where the bundle lies in images made by :mod:`harness.outside.trusting_image`.
BUNDLE_PATH = "/etc/seatrial/ca-bundle.crt"

# What reads which variable: requests and Python's ssl, git, boto3, pip, and programs written in Go (SSL_CERT_FILE).
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT")


@dataclass(frozen=True)
class ServerCertificate:
    """A certificate with its key; the key is left out of its ``repr``.

    Args:
        names: DNS names it is valid for.
        chain_pem: the certificate and what it was signed with, PEM.
        key_pem: its private key, PEM.
    """

    names: tuple[str, ...]
    chain_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return f"ServerCertificate(names={self.names!r})"


class PrivateCA:
    """A certificate authority that is forgotten with its run.

    Args:
        public_bundle: PEM file of the authorities trusted besides, the host's; by default the one requests comes with.
    """

    def __init__(self, public_bundle: Path | None = None) -> None:
        self._authority = trustme.CA(organization_name="Seatrial, for one test run only")
        self._public_bundle = public_bundle or Path(certifi.where())

    @property
    def certificate_pem(self) -> bytes:
        """The authority's own certificate."""
        return self._authority.cert_pem.bytes()

    def bundle(self) -> bytes:
        """Return the host's authorities and this one, PEM: what is trusted otherwise stays trusted."""
        return self._public_bundle.read_bytes().rstrip() + b"\n" + self.certificate_pem

    def issue(self, names: Sequence[str]) -> ServerCertificate:
        """Return a certificate for a server that answers to `names`, wildcards included."""
        issued = self._authority.issue_cert(*names)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return ServerCertificate(tuple(names), chain, issued.private_key_pem.bytes())


def trust_environment(bundle_path: str = BUNDLE_PATH) -> dict[str, str]:
    """Return the variables that make the programs of a container trust a bundle lying at `bundle_path` in it."""
    return dict.fromkeys(_BUNDLE_VARIABLES, bundle_path)
