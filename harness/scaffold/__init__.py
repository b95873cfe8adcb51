"""The first tests and the workflow of a repository of charts."""

from __future__ import annotations
