{{/* Name of every object of the release. */}}
{{- define "slimgate.name" -}}
{{- if contains "slimgate" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-slimgate" (.Release.Name | trunc 43 | trimSuffix "-") }}{{ end -}}
{{- end }}

{{/* Labels that never change: Service and Deployment select by them. */}}
{{- define "slimgate.selector" -}}
app.kubernetes.io/name: slimgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "slimgate.labels" -}}
{{ include "slimgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Everything that has to be said before the chart can work, told at once. */}}
{{- define "slimgate.validate" -}}
{{- $missing := list }}
{{- if not .Values.image.repository }}
{{- $missing = append $missing "image.repository: no slimgate image is published yet. In the repository's root: docker build -t REGISTRY/slimgate:0.1.0 . && docker push REGISTRY/slimgate:0.1.0; then --set image.repository=REGISTRY/slimgate" }}
{{- end }}
{{- if not .Values.tls.existingSecret }}
{{- $missing = append $missing "tls.existingSecret: the kubernetes.io/tls Secret with slimgate's serving certificate (the chart's README has a recipe)" }}
{{- end }}
{{- if not .Values.tls.caBundle }}
{{- $missing = append $missing "tls.caBundle: the CA of that certificate (PEM, base64), or \"injected\" if cert-manager writes it" }}
{{- end }}
{{- if not (or .Values.policies.builtin .Values.policies.extra) }}
{{- $missing = append $missing "policies.builtin or policies.extra: at least one policy" }}
{{- end }}
{{- if $missing }}
{{- fail (printf "these values are needed:\n- %s" (join "\n- " $missing)) }}
{{- end }}
{{- end }}

{{/* The image, by digest where one is given. */}}
{{- define "slimgate.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* How the API server finds slimgate; no bundle where somebody else injects it. */}}
{{- define "slimgate.clientConfig" -}}
service:
  name: {{ include "slimgate.name" . }}
  namespace: {{ .Release.Namespace }}
  path: /validate
  port: 443
{{- if ne .Values.tls.caBundle "injected" }}
caBundle: {{ .Values.tls.caBundle }}
{{- end }}
{{- end }}

{{/* Namespaces never sent to us, by the one label no tenant can change. */}}
{{- define "slimgate.namespaceSelector" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toJson }}
{{- end }}
