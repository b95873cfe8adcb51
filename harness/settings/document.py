"""Writes docs/settings.md from the table of options.

``python -m harness.settings.document > docs/settings.md`` brings the page up to date.
"""

from __future__ import annotations

import sys

from harness.settings.options import GROUPS, OPTIONS, Derived, Option
from harness.settings.values import Switch

_INTRODUCTION = """\
# Settings

<!-- written by `python -m harness.settings.document`; change harness/settings/options.py instead -->

Every setting has a flag, an environment variable and an ini key. The command line counts before the environment, the
environment before the ini file (pytest's own: `pytest.ini`, `tox.ini` or `[tool.pytest.ini_options]` in
`pyproject.toml`), and the ini file before the default. The names follow from the flag: `--rollout-timeout` is
`SEATRIAL_ROLLOUT_TIMEOUT` and `seatrial_rollout_timeout`. pytest's header shows each value somebody chose with where it
came from.

- All problems are reported together, before anything starts.
- Lengths of time are written `90`, `90s`, `1.5s`, `5m` or `1h30m`.
- In the environment a flag without a value is written `1` or `0` (also true, yes, on and false, no, off); an empty
  variable counts as not set; a `SEATRIAL_` variable that is no setting is refused, because it is a typing mistake.
- Paths on the command line and in the environment start from the working directory, those in the ini file from the
  ini file's directory.
- What is asked of one run (command line, environment) and does not go with the cluster provider is refused. In the ini
  file it is the project's choice for the other provider and stays unused.
- Write a path with an equals sign, `--kubeconfig=FILE`: pytest looks for the paths of tests on its command line before
  it knows Seatrial's flags, and takes a bare path for one, which moves its root directory.
- The `seatrial` command takes the same flags and variables; it reads no ini file.
"""


def settings_page() -> str:
    """Return the text of docs/settings.md."""
    parts = [_INTRODUCTION]
    for group, title in GROUPS.items():
        rows = "\n".join(_row(option) for option in OPTIONS if option.group == group)
        parts.append(f"## {title[0].upper()}{title[1:]}\n\n| flag | meaning | default |\n| --- | --- | --- |\n{rows}\n")
    return "\n".join(parts)


def _row(option: Option) -> str:
    flag = option.flag if isinstance(option.type, Switch) else f"{option.flag}={option.type.metavar}"
    return f"| `{flag}` | {_meaning(option)} | {_default(option)} |"


def _meaning(option: Option) -> str:
    text = option.help[0].upper() + option.help[1:]
    if option.variables:
        text += f"; also `{'`, `'.join(option.variables)}`"
    if option.only_for:
        text += f" ({option.only_for} only)"
    return text


def _default(option: Option) -> str:
    if isinstance(option.default, Derived):
        return option.default.words
    return f"`{option.default}`" if option.default else ""


if __name__ == "__main__":
    sys.stdout.write(settings_page())
