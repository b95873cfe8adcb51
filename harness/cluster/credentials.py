"""Certificates and keys as files: clients of the API server hand them to their TLS library so."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from harness.temporary import own_temporary_directory


def credential_file(data: str) -> Path:
    """Return a file of this process, readable by its owner only, with what a kubeconfig holds as `data`, in Base64.

    The same data are the same file.
    """
    path = own_temporary_directory() / hashlib.sha256(data.encode()).hexdigest()
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(data))
    return path
