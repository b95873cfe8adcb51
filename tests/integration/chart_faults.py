"""Faults planted in a small chart, each with the check that must catch it and the words it must say.

The table in docs/charts.md is this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KUBERNETES = ("1.33", "1.34")

# The chart without a fault.
GOOD: Mapping[str, str] = {
    "Chart.yaml": "apiVersion: v2\nname: scorer\nversion: 1.2.3\n",
    "values.yaml": "name: scorer\nimage: example/scorer:1\nreplicas: 2\nport: 5000\n",
    "values.schema.json": '{"type": "object", "properties": {"replicas": {"type": "integer"}}}\n',
    "ci/small.yaml": "replicas: 1\n",
    "templates/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Values.name }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels:
      app: {{ .Values.name }}
  template:
    metadata:
      labels:
        app: {{ .Values.name }}
    spec:
      containers:
        - name: scorer
          image: {{ .Values.image }}
          env:
            - name: PORT
              value: {{ .Values.port | quote }}
          ports:
            - containerPort: {{ .Values.port }}
""",
    "templates/service.yaml": """\
apiVersion: v1
kind: Service
metadata:
  name: {{ .Values.name }}
spec:
  selector:
    app: {{ .Values.name }}
  ports:
    - port: {{ .Values.port }}
""",
    "templates/store.yaml": """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: store
spec:
  serviceName: store
  selector:
    matchLabels:
      app: store
  template:
    metadata:
      labels:
        app: store
    spec:
      containers:
        - name: store
          image: {{ .Values.image }}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        resources:
          requests:
            storage: 1Gi
""",
    "templates/train.yaml": """\
apiVersion: batch/v1
kind: Job
metadata:
  name: train
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: train
          image: {{ .Values.image }}
""",
    "crds/model.yaml": """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: models.example.org
spec:
  group: example.org
  scope: Namespaced
  names:
    kind: Model
    plural: models
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [uri]
              properties:
                uri:
                  type: string
                weight:
                  type: integer
                  maximum: 100
""",
    "templates/model.yaml": """\
apiVersion: example.org/v1
kind: Model
metadata:
  name: iris
spec:
  uri: s3://models/iris
  weight: 100
""",
}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        what: it in words.
        check: the check that catches it.
        message: what the finding says, or the part of it that matters.
        edits: by file: what is replaced and by what; a text on its own is the whole new file.
        upgrade: whether it is one only compared with the chart before, whose version is raised.
        file: the file the finding names.
        severity: how bad it is.
    """

    what: str
    check: str
    message: str
    edits: Mapping[str, tuple[str, str] | str]
    file: str
    upgrade: bool = False
    severity: str = "error"
    values: tuple[str, ...] = field(default=())

    def plant(self, directory: Path) -> None:
        """Write the chart with the fault to `directory`."""
        files = dict(GOOD)
        if self.upgrade and self.check != "version-bump":
            files["Chart.yaml"] = files["Chart.yaml"].replace("1.2.3", "1.3.0")
        for name, edit in self.edits.items():
            if isinstance(edit, str):
                files[name] = edit
            else:
                assert edit[0] in files[name], f"{self.what}: '{edit[0]}' is not in {name}"
                files[name] = files[name].replace(*edit)
        write_chart(directory, files)


def write_chart(directory: Path, files: Mapping[str, str]) -> Path:
    """Write a chart's files below `directory` and return it."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    return directory


DEPLOYMENT, SERVICE, STORE = "templates/deployment.yaml", "templates/service.yaml", "templates/store.yaml"

FAULTS = (
    Fault(
        "Chart.yaml is no YAML",
        "chart",
        "did not find expected ',' or ']'",
        {"Chart.yaml": "apiVersion: v2\nname: [scorer\nversion: 1.2.3\n"},
        "Chart.yaml",
    ),
    Fault(
        "the version is no semantic version",
        "chart",
        "'latest' is no semantic version; write MAJOR.MINOR.PATCH, e.g. 1.2.3",
        {"Chart.yaml": ("1.2.3", "latest")},
        "Chart.yaml",
    ),
    Fault(
        "values.yaml is a list",
        "chart",
        "must be a mapping, it is a list",
        {"values.yaml": "- name: scorer\n"},
        "values.yaml",
    ),
    Fault(
        "a dependency's directory is not there",
        "chart",
        "dependency 'common' comes from 'file://../common', and there is no",
        {
            "Chart.yaml": GOOD["Chart.yaml"]
            + "dependencies:\n  - name: common\n    version: 1.0.0\n    repository: file://../common\n"
        },
        "Chart.yaml",
    ),
    Fault(
        "a dependency from a repository was not fetched",
        "render",
        "missing in charts/ directory: redis",
        {
            "Chart.yaml": GOOD["Chart.yaml"]
            + "dependencies:\n  - name: redis\n    version: 1.0.0\n    repository: https://example.org\n"
        },
        "",
    ),
    Fault(
        "a template asks for a value of a value that is not there",
        "render",
        "nil pointer evaluating interface {}.port",
        {SERVICE: ("{{ .Values.port }}", "{{ .Values.service.port.name }}")},
        SERVICE,
    ),
    Fault(
        "a template panics on purpose with one of the CI values",
        "render",
        "one replica is too few",
        {
            SERVICE: (
                " {{ .Values.port }}",
                ' {{ if lt (int .Values.replicas) 2 }}{{ fail "one replica is too few" }}{{ end }}80',
            )
        },
        SERVICE,
        values=("ci/small.yaml",),
    ),
    Fault(
        "a template renders to no YAML",
        "render",
        "error converting YAML to JSON",
        {SERVICE: ("name: {{ .Values.name }}", 'name: "{{ .Values.name }}')},
        SERVICE,
    ),
    Fault(
        "a CI value has the wrong type for the values schema",
        "values-schema",
        "replicas",
        {"ci/small.yaml": "replicas: one\n"},
        "values.schema.json",
        values=("ci/small.yaml",),
    ),
    Fault(
        "a value that the template does not obey: `replicas: 2`",
        "unused-value",
        "value 'replicas' (default 2) is read by no template: setting it changes nothing",
        {DEPLOYMENT: ("{{ .Values.replicas }}", "1")},
        "values.yaml",
    ),
    Fault(
        "a misspelt value in a file of CI values",
        "unused-value",
        "value 'replicsa' is read by no template: giving it here changes nothing",
        {"ci/small.yaml": "replicas: 1\nreplicsa: 3\n"},
        "ci/small.yaml",
        values=("ci/small.yaml",),
    ),
    Fault(
        "a misspelt value of a case",
        "unused-value",
        "value 'prot' is read by no template: giving it here changes nothing",
        {"seatrial.yaml": "cases:\n  - name: other-port\n    set: {prot: 80}\n"},
        "seatrial.yaml",
        values=("other-port",),
    ),
    Fault(
        "a misspelt value of a step",
        "unused-value",
        "value 'imgae' is read by no template: giving it here changes nothing",
        {
            "seatrial.yaml": "cases:\n  - name: rolled\n    steps:\n      - install\n"
            "      - upgrade: {set: {imgae: example/scorer:2}}\n"
        },
        "seatrial.yaml",
        values=("rolled/upgrade",),
    ),
    Fault(
        "a value of a step that the chart cannot be rendered with",
        "render",
        "one replica is too few",
        {
            SERVICE: (
                " {{ .Values.port }}",
                ' {{ if lt (int .Values.replicas) 1 }}{{ fail "one replica is too few" }}{{ end }}80',
            ),
            "seatrial.yaml": "cases:\n  - name: scaled\n    steps: [install, upgrade: {set: {replicas: 0}}]\n",
        },
        SERVICE,
        values=("scaled/upgrade",),
    ),
    Fault(
        "a misspelt value in a template",
        "undefined-value",
        "value 'imgae' is read here and declared nowhere",
        {DEPLOYMENT: ("{{ .Values.image }}", "{{ .Values.imgae }}")},
        DEPLOYMENT,
    ),
    Fault(
        "a misspelt field",
        "schema",
        'unknown field "spec.template.spec.containers[0].imagePullPolice"',
        {DEPLOYMENT: ("          env:", "          imagePullPolice: Always\n          env:")},
        DEPLOYMENT,
    ),
    Fault(
        "a number where a string is wanted",
        "schema",
        'wrong type for field "spec.template.spec.containers[0].env[0].value": a string is wanted, 5000 is a number',
        {DEPLOYMENT: (" | quote", "")},
        DEPLOYMENT,
    ),
    Fault(
        "a required field is missing",
        "schema",
        'missing required field "spec.selector"',
        {DEPLOYMENT: ("  selector:\n    matchLabels:\n      app: {{ .Values.name }}\n", "")},
        DEPLOYMENT,
    ),
    Fault(
        "a quantity that is none",
        "schema",
        "'1 GB' is no quantity",
        {STORE: ("1Gi", "1 GB")},
        STORE,
    ),
    Fault(
        "a custom resource that its own CRD refuses",
        "schema",
        'invalid value for field "spec.weight": 120 is greater than the maximum of 100',
        {"templates/model.yaml": ("weight: 100", "weight: 120")},
        "templates/model.yaml",
    ),
    Fault(
        "a custom resource with a field its CRD does not know",
        "schema",
        'unknown field "spec.url"',
        {"templates/model.yaml": ("uri: s3", "url: s3")},
        "templates/model.yaml",
    ),
    Fault(
        "a custom resource whose CRD is nowhere in the chart",
        "unknown-kind",
        "no schema for monitoring.coreos.com/v1, so its fields were not checked",
        {"templates/model.yaml": ("example.org/v1\nkind: Model", "monitoring.coreos.com/v1\nkind: ServiceMonitor")},
        "templates/model.yaml",
        severity="warning",
    ),
    Fault(
        "an API version that is gone",
        "removed-api",
        "policy/v1beta1 PodDisruptionBudget is not served since Kubernetes 1.25",
        {
            "templates/pdb.yaml": "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\n"
            "metadata:\n  name: scorer\nspec: {}\n"
        },
        "templates/pdb.yaml",
    ),
    Fault(
        "an API version that a version of the matrix does not serve yet",
        "removed-api",
        "resource.k8s.io/v1 DeviceClass is not served by this version of Kubernetes",
        {"templates/gpu.yaml": "apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata:\n  name: gpu\nspec: {}\n"},
        "templates/gpu.yaml",
    ),
    Fault(
        "an API that is deprecated",
        "deprecated-api",
        "v1 Endpoints is deprecated since Kubernetes 1.33",
        {"templates/endpoints.yaml": "apiVersion: v1\nkind: Endpoints\nmetadata:\n  name: outside\n"},
        "templates/endpoints.yaml",
        severity="warning",
    ),
    Fault(
        "a Deployment's selector changed",
        "immutable-field",
        "Deployment/scorer: spec.selector cannot be changed on upgrade (matchLabels.app: 'scorer' -> 'scorer-v2')",
        {DEPLOYMENT: ("app: {{ .Values.name }}", "app: {{ .Values.name }}-v2")},
        DEPLOYMENT,
        upgrade=True,
    ),
    Fault(
        "a StatefulSet's claim grew",
        "immutable-field",
        "StatefulSet/store: spec.volumeClaimTemplates cannot be changed on upgrade",
        {STORE: ("1Gi", "2Gi")},
        STORE,
        upgrade=True,
    ),
    Fault(
        "a Service became headless",
        "immutable-field",
        "Service/scorer: spec.clusterIP cannot be changed on upgrade (allocated by the cluster -> 'None')",
        {SERVICE: ("spec:\n", "spec:\n  clusterIP: None\n")},
        SERVICE,
        upgrade=True,
    ),
    Fault(
        "a Job's image changed",
        "immutable-field",
        "Job/train: spec.template cannot be changed on upgrade (spec.containers: ",
        {"templates/train.yaml": ("{{ .Values.image }}", "{{ .Values.image }}-slim")},
        "templates/train.yaml",
        upgrade=True,
    ),
    Fault(
        "a change without a new version",
        "version-bump",
        "templates/service.yaml changed since main and the version is still 1.2.3",
        {SERVICE: ("- port: {{ .Values.port }}", "- port: {{ .Values.port }}\n      name: http")},
        "Chart.yaml",
        upgrade=True,
    ),
    Fault(
        "a version that went back",
        "version-bump",
        "version went back from 1.2.3 (main) to 1.2.0",
        {"Chart.yaml": ("1.2.3", "1.2.0")},
        "Chart.yaml",
        upgrade=True,
    ),
)
