"""What the services are to the world: their names, nginx's configuration, variables, and the build contexts."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from harness.outside.docker_hub import DockerHub
from harness.outside.front import nginx_config
from harness.outside.git import GitHosting
from harness.outside.inside import ContainerFiles, tar_of
from harness.outside.package_index import Wheelhouse, write_wheelhouse_context
from harness.outside.s3 import S3
from harness.outside.service import OutsideService
from harness.outside.trusting_image import write_trusting_context
from harness.supply.pins import Pins
from harness.supply.recipe import RECIPES

SERVICES: list[OutsideService] = [
    GitHosting(),
    S3(("bucket",), "eu-west-2"),
    DockerHub("demo-registry:5000"),
    Wheelhouse(),
]


def test_each_service_has_a_server_of_its_own() -> None:
    """Every name stands in one `server_name`, each behind both ports, and braces are balanced."""
    config = nginx_config(SERVICES)
    named = re.findall(r"server_name (.*);", config)
    assert named == [" ".join(service.names) for service in SERVICES]
    assert config.count("listen 80;") == config.count("listen 443 ssl;") == len(SERVICES)
    assert config.count("{") == config.count("}")


def test_names_nobody_stands_in_for_are_refused() -> None:
    """The default server answers on both ports, and with a refusal."""
    default = nginx_config([])
    assert "listen 80 default_server;" in default
    assert "listen 443 ssl default_server;" in default
    assert "return 421" in default


def test_a_name_is_served_once() -> None:
    """Of two, nginx would only warn, and let the first win."""
    with pytest.raises(ValueError, match=r"github\.com"):
        nginx_config([GitHosting(), GitHosting()])


def test_a_bucket_has_four_kinds_of_address() -> None:
    """With and without the region, as host name and as path."""
    assert set(S3(("bucket",), "eu-west-2").names) == {
        "s3.eu-west-2.amazonaws.com",
        "s3.amazonaws.com",
        "bucket.s3.eu-west-2.amazonaws.com",
        "bucket.s3.amazonaws.com",
    }


@pytest.mark.parametrize(
    ("path", "repository", "service"),
    [
        ("/bodywork-ml/project/info/refs", "bodywork-ml/project", "/info/refs"),
        ("/bodywork-ml/project.git/git-upload-pack", "bodywork-ml/project", "/git-upload-pack"),
        ("/a/b.c.git/git-receive-pack", "a/b.c", "/git-receive-pack"),
    ],
    ids=["as people write it", "with .git", "with a dot in its name"],
)
def test_addresses_of_repositories(path: str, repository: str, service: str) -> None:
    """A repository is found under its address with and without `.git`."""
    found = re.search(_pattern(GitHosting()), path)
    assert found is not None
    assert (found["repository"], found["service"]) == (repository, service)


@pytest.mark.parametrize("path", ["/", "/owner", "/owner/name", "/owner/name/config", "/a/b/c/info/refs"])
def test_other_addresses_are_not_passed_to_git(path: str) -> None:
    """Only the three addresses of git's protocol are, below an owner and a name."""
    assert re.search(_pattern(GitHosting()), path) is None


@pytest.mark.parametrize(
    ("path", "tag"),
    [("/v2/repositories/bodyworkml/bodywork-core/tags/latest", "latest"), ("/v2/repositories/a/b/tags/1.0/", "1.0")],
)
def test_addresses_of_tags(path: str, tag: str) -> None:
    """Docker Hub's address of a tag is read with and without a slash at its end."""
    found = re.search(_pattern(DockerHub("demo-registry:5000")), path)
    assert found is not None
    assert found["tag"] == tag


def _pattern(service: OutsideService) -> str:
    found = re.search(r"location ~ (\S+) \{", service.server_block())
    assert found is not None
    return found[1].replace("(?<", "(?P<")  # as Python spells named groups


def test_pods_ask_the_wheelhouse_alone() -> None:
    """Their pip looks nowhere else, and over TLS: it ignores plain HTTP."""
    variables = Wheelhouse("packages.example").environment()
    assert variables["PIP_NO_INDEX"] == "1"
    assert variables["PIP_FIND_LINKS"] == "https://packages.example/"
    assert variables["PIP_NO_COMPILE"] == "0"  # any true value would have everything compiled


def test_each_set_of_requirements_is_resolved_by_itself(tmp_path: Path) -> None:
    """Two stages may pin different versions of one package."""
    write_wheelhouse_context(tmp_path, [["numpy==1.23.2"], ["numpy==1.24.0", "six"]], constraints="click<8.1\n")
    dockerfile = (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    assert (tmp_path / "requirements-2.txt").read_text(encoding="utf-8") == "numpy==1.24.0\nsix\n"
    assert (tmp_path / "constraints.txt").read_text(encoding="utf-8") == "click<8.1\n"
    assert dockerfile.count("RUN pip wheel") == 2


def test_variables_reach_an_image_as_they_are(tmp_path: Path) -> None:
    """A Dockerfile's own signs in a value are taken literally."""
    write_trusting_context(tmp_path, bundle=b"PEM", environment={"B": 'say "$HOME"', "A": "back\\slash"})
    dockerfile = (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    assert dockerfile.endswith('ENV A="back\\\\slash"\nENV B="say \\"\\$HOME\\""\n')
    assert (tmp_path / "ca-bundle.crt").read_bytes() == b"PEM"


def test_only_its_owner_reads_what_is_private() -> None:
    """The key's mode says so in the archive; files come with the directories they are in."""
    with tarfile.open(
        fileobj=io.BytesIO(tar_of({"/etc/a/key": b"k", "/etc/a/pem": b"p"}, private=["/etc/a/key"]))
    ) as archive:
        modes = {member.name: member.mode for member in archive if member.isfile()}
        folders = [member.name for member in archive if member.isdir()]
    assert modes == {"etc/a/key": 0o600, "etc/a/pem": 0o644}
    assert folders == ["etc", "etc/a"]


def test_a_project_is_copied_without_its_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.git` would make two repositories of one, and compiled files are nobody's source."""
    for name in (".git/config", "stage/__pycache__/a.pyc", "stage/a.py", "bodywork.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    put: list[tuple[str, dict[str, bytes]]] = []
    monkeypatch.setattr(ContainerFiles, "put", lambda self, directory, files: put.append((directory, dict(files))))
    ContainerFiles(None, "any").put_directory("/srv/work", tmp_path)  # type: ignore[arg-type] # nothing is asked of it
    assert put == [("/srv/work", {"bodywork.yaml": b"bodywork.yaml", "stage/a.py": b"stage/a.py"})]


def test_the_lock_file_holds_the_pinned_moto() -> None:
    """The image is called after moto's pin: what it installs must be that."""
    locked = (RECIPES / "outside" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert f"moto=={Pins.load().version('moto')}" in locked
    assert all(line.startswith("#") or "==" in line for line in locked)
