{{/* Name of every object of the release; of its Lease, Secrets and Service the controller knows it. */}}
{{- define "slimgate.name" -}}
{{- if contains "slimgate" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-slimgate" (.Release.Name | trunc 43 | trimSuffix "-") }}{{ end -}}
{{- end }}

{{/* Name of its cluster-scoped objects: two releases must not share one. */}}
{{- define "slimgate.clusterName" -}}
{{ include "slimgate.name" . }}.{{ .Release.Namespace }}
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

{{- define "slimgate.metadata" -}}
name: {{ include "slimgate.name" . }}
namespace: {{ .Release.Namespace }}
labels: {{- include "slimgate.labels" . | nindent 2 }}
{{- end }}

{{- define "slimgate.clusterMetadata" -}}
name: {{ include "slimgate.clusterName" . }}
labels: {{- include "slimgate.labels" . | nindent 2 }}
{{- end }}

{{/* Everything that has to be said before the chart can work, told at once. */}}
{{- define "slimgate.validate" -}}
{{- $wrong := list }}
{{- $excluded := include "slimgate.excluded" . | fromJsonArray }}
{{- with .Values }}
{{- if not .image.repository }}
{{- $wrong = append $wrong "image.repository: no slimgate image is published yet. In the repository's root: docker build -t REGISTRY/slimgate:0.1.0 . && docker push REGISTRY/slimgate:0.1.0; then --set image.repository=REGISTRY/slimgate" }}
{{- end }}
{{- if eq .certificates.mode "existing" }}
{{- if not .certificates.existing.secretName }}
{{- $wrong = append $wrong "certificates.existing.secretName: the kubernetes.io/tls Secret with slimgate's serving certificate (the chart's README has a recipe)" }}
{{- end }}
{{- if not .certificates.existing.caBundle }}
{{- $wrong = append $wrong "certificates.existing.caBundle: the CA of that certificate (PEM, base64), or \"injected\" where something else writes it" }}
{{- end }}
{{- end }}
{{- if and .certificates.client.names (not .certificates.client.caConfigMap) }}
{{- $wrong = append $wrong "certificates.client.caConfigMap: certificates.client.names say nothing without the CA that vouches for them" }}
{{- end }}
{{- if and (eq .pullSecrets.read "namespaces") (not .pullSecrets.namespaces) }}
{{- $wrong = append $wrong "pullSecrets.namespaces: at least one, or pullSecrets.read=none" }}
{{- end }}
{{- if and (ne .pullSecrets.read "namespaces") .pullSecrets.namespaces }}
{{- $wrong = append $wrong (printf "pullSecrets.namespaces: has no effect with pullSecrets.read=%s; say pullSecrets.read=namespaces" .pullSecrets.read) }}
{{- end }}
{{- if ne (empty .registries.credentialProviders.config) (empty .registries.credentialProviders.hostFolder) }}
{{- $wrong = append $wrong "registries.credentialProviders: config and hostFolder, both or neither" }}
{{- end }}
{{- if eq .store.type "valkey" }}
{{- if not .store.valkey.address }}
{{- $wrong = append $wrong "store.valkey.address: host:port of the server that replicas share" }}
{{- end }}
{{- if not .store.valkey.secretName }}
{{- $wrong = append $wrong "store.valkey.secretName: the Secret with the key that entries are sealed by (the chart's README has a recipe)" }}
{{- end }}
{{- end }}
{{- if and .store.valkey.caConfigMap (not .store.valkey.tls) }}
{{- $wrong = append $wrong "store.valkey.caConfigMap: says nothing without store.valkey.tls=true" }}
{{- end }}
{{- if has .webhook.probeNamespace $excluded }}
{{- $wrong = append $wrong (printf "webhook.probeNamespace: %s is never sent to slimgate, so nothing could be proved there" .webhook.probeNamespace) }}
{{- end }}
{{- range $key, $policy := .policies.extra }}
{{- $read := include "slimgate.policy" $policy | fromYaml }}
{{- $name := dig "metadata" "name" "" $read }}
{{- if or (ne (toString $read.kind) "ImagePolicy") (not $name) }}
{{- $wrong = append $wrong (printf "policies.extra.%s: not one ImagePolicy with a metadata.name %s" $key ($read.Error | default "")) }}
{{- else if has $name $.Values.policies.builtin }}
{{- $wrong = append $wrong (printf "policies.extra.%s: %s is a shipped policy's name: name yours otherwise, or leave that one out of policies.builtin" $key $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if has .Release.Namespace (list "kube-system" "kube-public" "kube-node-lease" "default") }}
{{- $wrong = append $wrong (printf "--namespace: slimgate needs a namespace of its own, not %s: its own is never judged" .Release.Namespace) }}
{{- end }}
{{- if $wrong }}
{{- fail (printf "these values are needed, or do not go together:\n- %s" (join "\n- " $wrong)) }}
{{- end }}
{{- end }}

{{/* A policy of the values, which is a document or the text of one, as YAML. */}}
{{- define "slimgate.policy" -}}
{{ if kindIs "string" . }}{{ . }}{{ else }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* The image, by digest where one is given. */}}
{{- define "slimgate.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The Secret with the serving certificate. cert-manager's has a name of its own: when the mode
changes, Helm removes slimgate's. */}}
{{- define "slimgate.tlsSecret" -}}
{{ if eq .Values.certificates.mode "existing" }}{{ .Values.certificates.existing.secretName }}{{ else }}{{ include "slimgate.name" . }}-cert{{ end }}
{{- end }}

{{/* Key of a mirror in its ConfigMap: a port's colon is not allowed there. */}}
{{- define "slimgate.mirrorKey" -}}
{{ replace ":" "_" . }}.toml
{{- end }}

{{/* What a container of ours may do: nothing. */}}
{{- define "slimgate.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "slimgate.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Probes of a container by its port for them. None asks a registry: one outage must not become two. */}}
{{- define "slimgate.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* How the API server finds slimgate. The CA is rendered only where it is a value: what is not
rendered, Helm does not own, and neither upgrade nor rollback touch what the controller wrote. */}}
{{- define "slimgate.clientConfig" -}}
service:
  name: {{ include "slimgate.name" . }}
  namespace: {{ .Release.Namespace }}
  path: /validate
  port: 443
{{- if and (eq .Values.certificates.mode "existing") (ne .Values.certificates.existing.caBundle "injected") }}
caBundle: {{ .Values.certificates.existing.caBundle }}
{{- end }}
{{- end }}

{{/* Namespaces never sent to us; a JSON list. */}}
{{- define "slimgate.excluded" -}}
{{ concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toJson }}
{{- end }}

{{/* They are named by the one label no tenant can change. */}}
{{- define "slimgate.namespaceSelector" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ include "slimgate.excluded" . }}
{{- end }}

{{/* Of the pods' webhook. With Auto, Ignore at first; then what the controller made of it: an
upgrade must not reopen what was proved. `lookup` finds nothing in `helm template`. */}}
{{- define "slimgate.failurePolicy" -}}
{{- $policy := .Values.webhook.failurePolicy }}
{{- if .Values.auditOnly }}{{ $policy = "Ignore" }}{{ end }}
{{- if eq $policy "Auto" }}
{{- $policy = "Ignore" }}
{{- $live := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" (include "slimgate.clusterName" .) }}
{{- range ($live.webhooks | default list) }}
{{- if eq .name "pods.slimgate.dev" }}{{ $policy = .failurePolicy }}{{ end }}
{{- end }}
{{- end }}
{{- $policy }}
{{- end }}

{{/* The API server waits one second longer than slimgate takes. */}}
{{- define "slimgate.timeoutSeconds" -}}
{{ ternary 5 (add .Values.webhook.deadlineSeconds 1) .Values.auditOnly }}
{{- end }}

{{/* Who may change what chooses policies, in CEL. */}}
{{- define "slimgate.trusted" -}}
authorizer.group('slimgate.dev').resource('imagepolicies').check('update').allowed()
{{- end }}

{{/* Labels of the objects that exist only while `helm test` runs. */}}
{{- define "slimgate.testName" -}}
{{ include "slimgate.name" . }}-test
{{- end }}

{{/* Made before the test pod, removed after it; what a test that was interrupted left, before the next. */}}
{{- define "slimgate.testAnnotations" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
