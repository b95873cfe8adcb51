"""Projects of other people: files that tests copy and run, nothing to collect here."""

from __future__ import annotations

collect_ignore_glob = ["*"]
