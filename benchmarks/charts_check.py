"""How long the static checks take: a chart of 20 templates and 5 values files, for 3 Kubernetes versions, warm.

Measured as users see it, a process per round, with Helm and the schemas at hand.

Usage: python benchmarks/charts_check.py [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from child import run
from report import Report, median

TEMPLATES, VALUES_FILES = 20, 5
VERSIONS = "1.33,1.34,1.35"
LIMIT_S = 2.0
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{{{ .Values.name }}}}-{number}
  labels:
    app.kubernetes.io/version: {{{{ .Values.tag | quote }}}}
spec:
  replicas: {{{{ .Values.parts.p{number}.replicas }}}}
  selector:
    matchLabels:
      app: part-{number}
  template:
    metadata:
      labels:
        app: part-{number}
    spec:
      containers:
        - name: part
          image: "example/part:{{{{ .Values.tag }}}}"
          env:
            {{{{- range $key, $value := .Values.parts.p{number}.env }}}}
            - name: {{{{ $key }}}}
              value: {{{{ $value | quote }}}}
            {{{{- end }}}}
          resources:
            {{{{- toYaml .Values.resources | nindent 12 }}}}
          readinessProbe:
            httpGet:
              path: /
              port: 5000
---
apiVersion: v1
kind: Service
metadata:
  name: {{{{ .Values.name }}}}-{number}
spec:
  selector:
    app: part-{number}
  ports:
    - port: 5000
"""


def make_chart(directory: Path) -> Path:
    """Write the chart, every document of which is another with each values file."""
    (directory / "templates").mkdir(parents=True)
    (directory / "ci").mkdir()
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: parts\nversion: 1.0.0\n", encoding="utf-8")
    parts = "".join(f"  p{number}: {{replicas: 1, env: {{A: b, C: d}}}}\n" for number in range(TEMPLATES))
    values = f"name: app\ntag: '1'\nresources: {{requests: {{cpu: 50m, memory: 64Mi}}}}\nparts:\n{parts}"
    (directory / "values.yaml").write_text(values, encoding="utf-8")
    for number in range(TEMPLATES):
        text = DEPLOYMENT.format(number=number)
        (directory / "templates" / f"part-{number}.yaml").write_text(text, encoding="utf-8")
    for number in range(VALUES_FILES):
        (directory / "ci" / f"v{number}.yaml").write_text(f"name: app{number}\ntag: 'v{number}'\n", encoding="utf-8")
    return directory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    report = Report()
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name:
        chart = make_chart(Path(name) / "parts")
        argv = (sys.executable, "-m", "harness.cli", "charts", "check", chart, f"--kubernetes={VERSIONS}")
        times, told = [], ""
        for number in range(rounds + 1):
            ended = run(*argv, cwd=Path(name)).check()
            told = ended.output.splitlines()[-1].strip()
            if number:  # the first round warms the caches
                times.append(ended.wall_s)
    what = f"{TEMPLATES} templates, {VALUES_FILES} values files, Kubernetes {VERSIONS} ({told}); limit {LIMIT_S:g} s"
    report.show(what, ("command", "seconds"), [("seatrial charts check", median(times))])


if __name__ == "__main__":
    main()
