{{/* Labels of everything in the release. */}}
{{- define "ambassador.labels" -}}
app.kubernetes.io/name: ambassador
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
seatrial.dev/stand-in-for: ambassador
{{- end }}

{{/* Labels that tell the pods of one part from those of the others. */}}
{{- define "ambassador.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* Names of cluster-wide objects: two releases do not share them. */}}
{{- define "ambassador.cluster-name" -}}
{{ .root.Release.Name }}-{{ .root.Release.Namespace }}-{{ .part }}
{{- end }}

{{/* Nothing here writes to its image or needs a capability. */}}
{{- define "ambassador.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "ambassador.unprivileged" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65534
  runAsGroup: 65534
  fsGroup: 65534
  seccompProfile:
    type: RuntimeDefault
{{- end }}
