"""A run's own certificate authority: what it signs is trusted by its bundle and by nothing else."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from harness.outside.ca import BUNDLE_PATH, PrivateCA, ServerCertificate, trust_environment


def handshake(certificate: ServerCertificate, cafile: Path, name: str, directory: Path) -> str:
    """Return the subject of the server's certificate after a real TLS handshake in this process."""
    pem = directory / "server.pem"
    pem.write_bytes(certificate.key_pem + certificate.chain_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (OSError, ssl.SSLError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client = ssl.create_default_context(cafile=str(cafile))
        with client.wrap_socket(ours, server_hostname=name) as wrapped:
            return str(wrapped.getpeercert())
    finally:
        ours.close()
        thread.join(timeout=10)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """Another authority's bundle, in the host's place."""
    path = tmp_path / "public.pem"
    path.write_bytes(PrivateCA(Path("/dev/null")).certificate_pem)
    return path


def test_its_bundle_trusts_its_servers(tmp_path: Path, public: Path) -> None:
    """A client that reads the bundle completes the handshake for each name, wildcards included."""
    ca = PrivateCA(public)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ca.bundle())
    certificate = ca.issue(["github.com", "*.s3.amazonaws.com"])
    for name in ("github.com", "bucket.s3.amazonaws.com"):
        assert "github.com" in handshake(certificate, bundle, name, tmp_path)


@pytest.mark.parametrize(
    ("name", "own"), [("example.org", True), ("github.com", False)], ids=["another name", "another authority"]
)
def test_nothing_else_is_trusted(tmp_path: Path, public: Path, name: str, own: bool) -> None:
    """Neither a name the certificate does not hold, nor the certificate for who knows only the host's bundle."""
    ca = PrivateCA(public)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ca.bundle() if own else public.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ca.issue(["github.com"]), bundle, name, tmp_path)


def test_what_the_host_trusts_stays_trusted(public: Path) -> None:
    """The host's authorities stand in the bundle unchanged, each on lines of its own."""
    bundle = PrivateCA(public).bundle()
    assert bundle.startswith(public.read_bytes().rstrip() + b"\n-----BEGIN CERTIFICATE-----")
    assert bundle.count(b"-----BEGIN CERTIFICATE-----") == 2


def test_the_key_is_not_shown(public: Path) -> None:
    """What is printed of a certificate, by a failed assertion for one, holds no key."""
    certificate = PrivateCA(public).issue(["github.com"])
    assert b"PRIVATE KEY" in certificate.key_pem
    assert "PRIVATE KEY" not in repr(certificate)


def test_all_programs_are_told_of_one_bundle() -> None:
    """requests, Python, git, boto3 and pip each read a variable of their own."""
    names = {"REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT"}
    assert trust_environment() == dict.fromkeys(names, BUNDLE_PATH)
