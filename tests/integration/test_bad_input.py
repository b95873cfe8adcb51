"""What a user can get wrong around a run, and what is told then: by real runs, each error with what to do."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from harness.supply.resolver import Supply
from tests.integration.child_run import ChildProject, ChildRun

PROGRAM = "def test_it(supply):\n    print(supply.program('oci-runtime').path)\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system and becomes another user")


def told(run: ChildRun, *texts: str) -> None:
    """Hold that a run failed with an error that names these things and says what to try."""
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED, run.output
    for text in texts:
        assert text in run.output, run.output
    # As pytest prints the lines of an error: the source in a traceback may hold a `try:` of Python's.
    assert re.search(r"(?m)^E +try:  \S", run.output), run.output
    assert "INTERNALERROR" not in run.output


# -- the cache


def test_a_cache_that_is_a_file(child: ChildProject) -> None:
    """It is refused before anything starts, with the option that names another."""
    shutil.rmtree(child.cache)
    child.cache.write_text("")
    child.write({"test_it.py": PROGRAM})
    run = child.run()
    assert run.exit_code == pytest.ExitCode.USAGE_ERROR, run.output
    assert f"--supply-cache '{child.cache}'" in run.output
    assert "is a file, not a directory" in run.output


@needs_root
@pytest.mark.parametrize(
    ("options", "why"),
    [
        pytest.param("size=16k", "No space left on device", id="a full disk"),
        pytest.param("ro", "Read-only file system", id="a cache that cannot be written"),
    ],
)
def test_a_cache_without_room(child: ChildProject, options: str, why: str) -> None:
    """The directory is named, and that another can be given; the file system is the run's own."""
    child.write({"test_it.py": PROGRAM})
    script = f'mount -t tmpfs -o {options} none "$0" && exec "$@"'
    if options != "ro":
        # Directories take room as well: what is left is less than any artifact needs.
        script = script.replace("&&", '&& head -c 12k /dev/zero > "$0/filler" &&')
    told(child.run(prefix=("unshare", "--mount", "sh", "-c", script, str(child.cache))), why, "XDG_CACHE_HOME")


def test_a_damaged_program_is_made_again(child: ChildProject, supply: Supply) -> None:
    """A cached file that is not what was recorded is removed, said so, and built again."""
    made = supply.program("oci-runtime")
    (child.cache / "artifacts").unlink()
    copy = child.cache / "artifacts" / "oci-runtime" / made.path.parent.name
    shutil.copytree(made.path.parent, copy)
    # What Go has compiled is at hand: building takes a second instead of ten.
    if (compiled := child.artifacts.parent / "go").is_dir():
        (child.cache / "go").symlink_to(compiled)
    (copy / made.path.name).write_bytes(b"damaged")
    child.write({"test_it.py": PROGRAM})
    run = child.run("-s")
    assert run.exit_code == 0, run.output
    assert "oci-runtime" in run.output
    assert "is damaged" in run.output
    assert (copy / made.path.name).read_bytes() == made.path.read_bytes()


@pytest.mark.parametrize("option", ["--offline", "--no-build"])
def test_everything_missing_is_listed_at_once(child: ChildProject, option: str) -> None:
    """A run that may not fetch or build names all that it lacks, for its cluster and its tests, not the first only."""
    (child.cache / "artifacts").unlink()
    child.write({"test_it.py": "def test_it(cluster, helm):\n    pass\n"})
    # No program of the host's, but what Python itself needs.
    environ = {"PATH": "/nonexistent"}
    run = child.run(option, "--no-download" if option == "--no-build" else option, environ=environ)
    told(run, "kind: not there", "kubectl: not there", "helm: not there", "let Seatrial build")


def test_programs_missing_are_listed_without_an_engine(child: ChildProject) -> None:
    """What is on no engine can be told all the same, beside the engine that does not answer."""
    (child.cache / "artifacts").unlink()
    child.write({"test_it.py": "def test_it(cluster):\n    pass\n"})
    run = child.run("--offline", environ={"PATH": "/nonexistent", "DOCKER_HOST": "unix:///nonexistent/docker.sock"})
    told(run, "kind: not there", "kubectl: not there", "images were not looked at", "/nonexistent/docker.sock")


# -- the engine


@needs_root
def test_no_permission_on_the_socket(child: ChildProject, tmp_path: Path) -> None:
    """A user who may not use the socket hears which one, and how that is changed."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        os.chown(path, 65534, 65534)
        path.chmod(0o600)
        child.write({"test_it.py": "def test_it(engine):\n    pass\n"})
        # Another user could not read this Python; root without its override is refused as any user is.
        run = child.run(
            prefix=("setpriv", "--bounding-set=-dac_override,-dac_read_search"),
            environ={"DOCKER_HOST": f"unix://{path}"},
        )
    told(run, f"unix://{path}", "permission denied", "usermod -aG docker")


def test_an_engine_that_is_not_there(child: ChildProject) -> None:
    """A DOCKER_HOST that leads nowhere is named; no other engine is used instead."""
    child.write({"test_it.py": "def test_it(engine):\n    pass\n"})
    told(child.run(environ={"DOCKER_HOST": "unix:///nonexistent/docker.sock"}), "DOCKER_HOST", "/nonexistent")


# -- files and ports


CASES: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "no Dockerfile": (
        "build_image(Path('app').absolute(), name='example/app')",
        {"app/api.py": ""},
        ("app/Dockerfile",),
    ),
    "a Dockerfile that is none": (
        "build_image(Path('app').absolute(), name='example/app')",
        {"app/Dockerfile": "FORM nothing\n"},
        ("app/Dockerfile",),
    ),
    "a port in use": (
        "run_container(ContainerSpec(image=supply.image('registry').reference, name='taken-port', "
        "container_port=5000, host_port=taken))",
        {},
        ("is in use", "ss -ltnp"),
    ),
}


@pytest.mark.parametrize(("call", "files", "texts"), CASES.values(), ids=CASES.keys())
def test_files_and_ports(child: ChildProject, call: str, files: dict[str, str], texts: tuple[str, ...]) -> None:
    """What is wrong is named, and nothing is left of the attempt."""
    body = f"""
        import socket
        from pathlib import Path
        from harness import ContainerSpec

        def test_it(build_image, run_container, supply):
            with socket.create_server(("127.0.0.1", 0)) as listening:
                taken = listening.getsockname()[1]
                {call}
    """
    child.write({**files, "test_it.py": body})
    told(child.run(), *texts)
    assert child.traces() == []


KUBECONFIGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a kubeconfig that is none": ("{", ("not YAML",)),
    "no such context": (
        "{apiVersion: v1, kind: Config, clusters: [], users: [], contexts: [{name: there, context: {}}]}",
        ("'absent'", "'there'"),
    ),
}


@pytest.mark.parametrize(("text", "texts"), KUBECONFIGS.values(), ids=KUBECONFIGS.keys())
def test_kubeconfigs(child: ChildProject, text: str, texts: tuple[str, ...]) -> None:
    """The file and the context are named, and those that there are."""
    child.write({"config": text, "test_it.py": "def test_it(cluster):\n    pass\n"})
    run = child.run("--cluster-provider=existing", "--kubeconfig=config", "--kube-context=absent")
    told(run, "config", *texts)
    assert child.traces() == []


# -- a cluster that dies

DYING = """
    import os
    from pathlib import Path

    def test_kills_it(cluster, engine):
        engine.client().containers.get(cluster.nodes[0]).kill()

    def test_deploys(kubectl, namespace):
        kubectl.create_deployment("never", "example/never:1", namespace=namespace)

    def test_forwards(port_forward):
        port_forward("service/kubernetes", namespace="default", remote_port=443)
"""


def test_a_cluster_that_dies(child: ChildProject) -> None:
    """Tests after its death fail at once and name the dead node, in the report and in the evidence; nothing is left."""
    child.write({"test_it.py": DYING})
    run = child.start()
    run.wait(timeout_s=240)
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED, run.output
    assert "1 passed" in run.output
    assert f"node container 'seatrial-{run.run_id}-control-plane' is exited" in run.output
    record = run.record()
    assert len(record["failures"]) == 2
    assert any("is exited" in note for note in record["notes"])
    waited = [
        step for step in record["steps"] if step["phase"] not in {"cluster", "cleanup"} and step["duration_s"] > 15
    ]
    assert waited == [], "no step may wait for a cluster that is dead"
    assert child.traces() == []
