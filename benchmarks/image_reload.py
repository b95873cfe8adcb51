"""How long until the nodes have an image after one line of the application changed: Seatrial beside ``kind load``.

Needs a kind cluster with its own registry (one kept with ``--keep-cluster`` will do) and measures on its nodes:

- first: an image of which no layer is in the registry or on the nodes (the application's, flattened into a new layer);
- reload: one line of api.py changed, image built again, loaded again. Both ways get a change of their own in turn.

Prints a Markdown table with medians and their ratio. Usage::

    python benchmarks/image_reload.py --cluster NAME --registry 127.0.0.1:PORT --kind PATH --base-image NAME
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from report import Report

from harness.engine.engine import Engine
from harness.images.build import BuildRequest, ImageBuilder
from harness.images.load import load_image
from harness.images.push import image_in_engine
from harness.images.reference import ImageRef
from harness.naming import Run

APP = Path(__file__).parent.parent / "fixtures" / "apps" / "py-flask-ml-score-api"
KIND_CLUSTER_LABEL = "io.x-k8s.kind.cluster"


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def flattened(engine: Engine, image: ImageRef, name: str) -> ImageRef:
    """Return an image of one layer with the files of `image`: nobody has a layer of that digest yet."""
    with closing(engine.client()) as client, tempfile.TemporaryFile() as files:
        container = client.containers.create(image.image_id)
        files.writelines(container.export())  # type: ignore[arg-type] # chunks of bytes, whatever the stub says
        container.remove()
        files.seek(0)
        repository, _, tag = name.rpartition(":")
        client.api.import_image_from_data(files, repository=repository, tag=tag)
    return image_in_engine(engine, name)


class Bench:
    """Both ways to load, on one cluster.

    Args:
        options: the command line.
        scratch: an empty directory.
    """

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.engine = Engine(options.docker_host, version="", managed=False)
        self.builder = ImageBuilder(self.engine, run=Run.begin(), log_dir=scratch / "logs", timeout_s=600)
        self.app = Path(shutil.copytree(APP, scratch / "app"))
        with closing(self.engine.client()) as client:
            found = client.containers.list(filters={"label": f"io.x-k8s.kind.cluster={options.cluster}"})
            self.nodes = [str(each.name) for each in found if each.labels.get("io.x-k8s.kind.role")]
            self.docker = client.version()["Version"]

    def build(self, name: str) -> ImageRef:
        """Change one line of the application and build it."""
        with (self.app / "api.py").open("a", encoding="utf-8") as file:
            file.write(f"# {time.time_ns()}\n")
        return self.builder.build(BuildRequest(self.app, name, build_args={"BASE_IMAGE": self.options.base_image}))

    def load(self, image: ImageRef) -> None:
        """Load the way Seatrial does."""
        load_image(self.engine, image, self.nodes, registry=self.options.registry)

    def load_by_kind(self, image: ImageRef) -> None:
        """Load the way kind does."""
        subprocess.run(
            [self.options.kind, "load", "docker-image", image.name, "--name", self.options.cluster],
            check=True,
            capture_output=True,
            env={**os.environ, "DOCKER_HOST": self.options.docker_host},
        )

    def first(self, load: Callable[[ImageRef], None], name: str) -> float:
        """Seconds to load an image whose every layer is new."""
        image = flattened(self.engine, self.build(name), name)
        return seconds(lambda: load(image))

    def reload(self, load: Callable[[ImageRef], None], name: str) -> float:
        """Seconds to build and load after one line changed."""
        return seconds(lambda: load(self.build(name)))

    def forget(self, name: str) -> None:
        """Remove what was built under `name` from the engine; the cluster is the user's to delete."""
        with closing(self.engine.client()) as client:
            for image in client.images.list(name=name.rpartition(":")[0]):
                client.images.remove(str(image.id), force=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker-host", default=os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--kind", default="kind")
    parser.add_argument("--base-image", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options, Path(scratch))
        loads = {"seatrial": bench.load, "kind load docker-image": bench.load_by_kind}
        names = {way: f"example/reload-{index}-{time.time_ns()}:latest" for index, way in enumerate(loads)}
        first = {way: bench.first(load, f"{names[way]}") for way, load in loads.items()}
        for way, load in loads.items():
            bench.reload(load, names[way])
        reload: dict[str, list[float]] = {way: [] for way in loads}
        for _ in range(options.rounds):
            for way, load in loads.items():
                reload[way].append(bench.reload(load, names[way]))
        for name in names.values():
            bench.forget(name)

    medians = {way: statistics.median(times) for way, times in reload.items()}
    rows = [[way, f"{first[way]:.2f}", f"{medians[way]:.2f}", f"{max(reload[way]):.2f}"] for way in loads]
    ours, theirs = loads
    rows.append(["ratio", f"{first[theirs] / first[ours]:.1f} x", f"{medians[theirs] / medians[ours]:.1f} x", ""])
    what = f"Docker {bench.docker}, {len(bench.nodes)} node(s); median of {options.rounds} reloads, build included."
    report.show(what, ["", "first load, s", "reload, s", "slowest reload, s"], rows)


if __name__ == "__main__":
    main()
