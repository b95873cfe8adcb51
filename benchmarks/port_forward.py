"""Time to a first answer through a forwarded port, and latency after it: Seatrial beside ``kubectl port-forward``.

Needs a cluster in which a Service answers ``POST /score``. In each round both ways forward the same target in turn:

- ready: from the start to a local port that accepts connections (kubectl: its process and the line it prints);
- first answer: from the start to the first scoring answer;
- request: one more answer on a connection kept open, and on a connection of its own.

The kubernetes client is imported before the clock starts: a run has it loaded since its cluster was made. Prints the
time of that import, and a Markdown table with medians and their ratio. Usage::

    python benchmarks/port_forward.py --kubeconfig FILE --context NAME --kubectl PATH service/NAME PORT
"""

from __future__ import annotations

import time

IMPORT_STARTED = time.perf_counter()

import argparse  # noqa: E402 - the clock comes first
import statistics  # noqa: E402
import subprocess  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import AbstractContextManager, contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402

from report import Report, median  # noqa: E402

from harness.access.endpoint import Endpoint  # noqa: E402
from harness.access.port_forward import port_forward  # noqa: E402
from harness.cluster.provider import ClusterHandle  # noqa: E402
from harness.scoring.readiness import wait_until_answers  # noqa: E402
from harness.scoring.request import ScoreRequest  # noqa: E402
from harness.scoring.transport import RequestsTransport  # noqa: E402

Forward = Callable[[], AbstractContextManager[Endpoint]]


@contextmanager
def kubectl_port_forward(handle: ClusterHandle, target: str, namespace: str, port: int) -> Iterator[Endpoint]:
    """Forward with a kubectl process, as its users do, without a fixed sleep: its first line says that it listens."""
    argv = [str(handle.kubectl), "--kubeconfig", str(handle.kubeconfig), "--context", handle.context]
    argv += ["port-forward", "--namespace", namespace, "--address", "127.0.0.1", target, f":{port}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            local_port = line.partition("127.0.0.1:")[2].partition(" ")[0]
            yield Endpoint.from_url(f"http://127.0.0.1:{local_port}")
        finally:
            process.terminate()


def measure(forward: Forward, requests: int) -> dict[str, float]:
    """Return the figures of one round, milliseconds."""
    started = time.perf_counter()
    with forward() as endpoint, RequestsTransport() as transport:
        ready = time.perf_counter() - started
        request = ScoreRequest(endpoint, "/score", {"X": [1, 2]})
        wait_until_answers(transport, request, timeout_s=30).assert_json({"score": [1, 2]})
        first = time.perf_counter() - started
        kept = [transport.send(request).latency_s for _ in range(requests)]
        fresh = []
        for _ in range(requests):
            with RequestsTransport() as own:
                fresh.append(own.send(request).latency_s)
        left = time.perf_counter()
    figures = {
        "ready": ready,
        "first answer": first,
        "request, connection kept": statistics.median(kept),
        "request, connection of its own": statistics.median(fresh),
        "end": time.perf_counter() - left,
    }
    return {name: value * 1000 for name, value in figures.items()}


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="what to forward to, e.g. service/test-ml-score-api")
    parser.add_argument("port", type=int, help="its port")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--context", required=True)
    parser.add_argument("--kubectl", type=Path, default=Path("kubectl"))
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=20, help="requests per kind of connection in each round")
    args = parser.parse_args()
    handle = ClusterHandle("benchmark", "existing", args.kubeconfig, args.context, args.kubectl)
    with handle.api_client():  # imports the client
        imported = time.perf_counter() - IMPORT_STARTED

    def ours() -> AbstractContextManager[Endpoint]:
        return port_forward(handle, args.target, namespace=args.namespace, remote_port=args.port)

    def kubectl() -> AbstractContextManager[Endpoint]:
        return kubectl_port_forward(handle, args.target, args.namespace, args.port)

    report = Report()
    rounds = [(measure(ours, args.requests), measure(kubectl, args.requests)) for _ in range(args.rounds)]
    rows = []
    for name in rounds[0][0]:
        own, other = ([pair[side][name] for pair in rounds] for side in (0, 1))
        rows.append(
            [name, median(own, 1), median(other, 1), f"{statistics.median(own) / statistics.median(other):.2f}"]
        )
    what = f"{args.rounds} rounds; imports before the first forward: {imported * 1000:.0f} ms."
    report.show(what, ["median, ms", "seatrial", "kubectl", "seatrial / kubectl"], rows)


if __name__ == "__main__":
    main()
