{{/* _config.tpl - omend.conf. SPDX-License-Identifier: Apache-2.0 */}}
{{- define "omendb.config" -}}
# omend.conf - made by the chart; `omend --help` explains every option.
listen = {{ .Values.server.listenAddress }}:7700
admin-listen = {{ .Values.server.listenAddress }}:7701
data-dir = /var/lib/omend/data
durability = {{ .Values.server.durability }}
memory-limit = {{ .Values.server.memoryLimit }}
log-level = {{ .Values.server.logLevel }}
log-format = {{ .Values.server.logFormat }}
console = {{ .Values.server.console }}
predrain-ms = {{ mul (int .Values.server.predrainSeconds) 1000 }}
grace-ms = {{ mul (int .Values.server.graceSeconds) 1000 }}
{{- if .Values.backup.enabled }}
backup-dir = /var/lib/omend-backups
{{- end }}
{{- /* Without TLS, or with nobody asked who they are, omend wants to be told that this is meant. */}}
{{- if or (eq .Values.tls.mode "off") (and (eq .Values.auth.mode "off") (not .Values.tls.clients.required)) }}
insecure-expose = true
{{- end }}
{{- if ne .Values.tls.mode "off" }}
tls-cert = /etc/omend/tls/tls.crt
tls-key = /etc/omend/tls/tls.key
{{- if .Values.tls.clients.required }}
tls-client-ca = {{ ternary "/etc/omend/clients/ca.crt" "/etc/omend/tls/ca.crt" (ne .Values.tls.clients.caSecret "") }}
{{- end }}
{{- end }}
{{- if ne .Values.auth.mode "off" }}
catalog = /var/lib/omend/access.sqlite
bootstrap-key-file = /etc/omend/key/key
{{- if .Values.auth.certificateIdentities }}
certificate-identities = true
{{- end }}
{{- with .Values.auth.jwt }}
{{- if .secret }}
jwt-key = /etc/omend/jwt/key
jwt-algorithm = {{ .algorithm }}
jwt-audience = {{ .audience }}
{{- with .issuer }}
jwt-issuer = {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.server.config }}
{{- /* Numbers come as floats: 1000000 must not become 1e+06. */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) (float64 $value)) }}
{{- $value = int64 $value }}
{{- end }}
{{ $name }} = {{ $value }}
{{- end }}
{{ end }}
