"""What pytest calls: one module per feature, each a plugin that :mod:`harness.plugin` registers."""

from __future__ import annotations
