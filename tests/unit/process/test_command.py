"""The value that describes a program to run."""

from __future__ import annotations

import pytest

from harness.process.command import DEFAULT_TIMEOUT_S, Command


@pytest.mark.parametrize(
    "argv",
    [(), ("kubectl", 1), ("kubectl", None)],
    ids=["nothing to run", "a number among the arguments", "a missing argument"],
)
def test_argv_must_be_strings(argv: tuple[str, ...]) -> None:
    """What cannot be run is refused where it was written, not where it is run."""
    with pytest.raises(TypeError, match="non-empty tuple of strings"):
        Command(argv)


def test_program_is_the_last_component() -> None:
    """Lists of commands name the program, not its directory."""
    assert Command(("/cache/bin/kubectl", "get")).program == "kubectl"


def test_pasteable_is_quoted_with_its_environment() -> None:
    """A person can paste it into a shell: blanks are quoted, added variables stand in front, removed ones do not."""
    command = Command(("kubectl", "get", "a b"), env={"KUBECONFIG": "/my file", "DOCKER_CONTEXT": None})
    assert command.pasteable() == "KUBECONFIG='/my file' kubectl get 'a b'"


@pytest.mark.parametrize("secret", ["hunter2", "it's", 'a "b" c'], ids=["a word", "with a quote", "with blanks"])
def test_pasteable_masks_secrets(secret: str) -> None:
    """Secrets are masked in arguments and variables alike, however a shell has them quoted."""
    command = Command(("helm", "--set", f"key={secret}"), env={"PASSWORD": secret}, secrets=(secret,))
    assert command.pasteable() == "PASSWORD='****' helm --set 'key=****'"


def test_pasteable_masks_the_word_after_a_secret_flag() -> None:
    """A token is masked though nobody named it as a secret."""
    assert Command(("kubectl", "--token", "abc", "get")).pasteable() == "kubectl --token **** get"


def test_with_timeout_changes_only_the_limit() -> None:
    """The same command with another limit; the original keeps its own."""
    command = Command(("kind", "create"), env={"A": "b"})
    assert command.with_timeout(3.0) == Command(("kind", "create"), env={"A": "b"}, timeout_s=3.0)
    assert command.timeout_s == DEFAULT_TIMEOUT_S
