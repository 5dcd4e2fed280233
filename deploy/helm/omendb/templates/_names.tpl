{{/* _names.tpl - names, labels and the files that pods see. SPDX-License-Identifier: Apache-2.0 */}}
{{- define "omendb.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 38 | trimSuffix "-" -}}
{{- end }}

{{/* At most 38 letters: the pods of the CronJob add 24, and a pod's name is a backup's name (63). */}}
{{- define "omendb.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- else if contains (include "omendb.name" .) .Release.Name -}}
{{- .Release.Name | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "omendb.name" .) | trunc 38 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "omendb.release" -}}
app.kubernetes.io/name: {{ include "omendb.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "omendb.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "omendb.release" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Of pods: without the chart's version, or each new one would restart the server. */}}
{{- define "omendb.podLabels" -}}
{{ include "omendb.release" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "omendb.serverLabels" -}}
{{ include "omendb.release" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "omendb.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end }}

{{- define "omendb.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "omendb.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "omendb.dataClaim" -}}
{{- default (printf "%s-data" (include "omendb.fullname" .)) .Values.storage.existingClaim -}}
{{- end }}

{{- define "omendb.backupClaim" -}}
{{- default (printf "%s-backups" (include "omendb.fullname" .)) .Values.backup.storage.existingClaim -}}
{{- end }}

{{- define "omendb.tlsSecret" -}}
{{- default (printf "%s-tls" (include "omendb.fullname" .)) .Values.tls.secret -}}
{{- end }}

{{- define "omendb.jobsTlsSecret" -}}
{{- default (printf "%s-client-tls" (include "omendb.fullname" .)) .Values.tls.clients.jobsSecret -}}
{{- end }}

{{- define "omendb.keySecret" -}}
{{- default (printf "%s-key" (include "omendb.fullname" .)) .Values.auth.secret -}}
{{- end }}

{{/* The names in the server's certificate, as a JSON list under `names`. */}}
{{- define "omendb.serverNames" -}}
{{- $full := include "omendb.fullname" . -}}
{{- $names := list $full (printf "%s.%s" $full .Release.Namespace)
      (printf "%s.%s.svc" $full .Release.Namespace)
      (printf "%s.%s.svc.cluster.local" $full .Release.Namespace)
      (printf "%s-0.%s-headless" $full $full)
      (printf "%s-0.%s-headless.%s.svc" $full $full .Release.Namespace)
      (printf "%s-0.%s-headless.%s.svc.cluster.local" $full $full .Release.Namespace)
      "localhost" -}}
{{- dict "names" (concat $names .Values.tls.extraNames) | toJson -}}
{{- end }}

{{/* Of every pod: the level "restricted" of Pod Security Standards. */}}
{{- define "omendb.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.podSecurity.runAsUser }}
runAsUser: {{ . }}
{{- end }}
{{- with .Values.podSecurity.runAsGroup }}
runAsGroup: {{ . }}
{{- end }}
{{- with .Values.podSecurity.fsGroup }}
fsGroup: {{ . }}
# Not a walk over every file at each start.
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "omendb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "omendb.podPlacement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What a pod that runs `omen` at the server needs: environment, mounts, volumes. */}}
{{- define "omendb.clientEnv" -}}
- name: OMEN_SERVER
  value: {{ printf "%s:%d" (include "omendb.fullname" .) (int .Values.service.port) }}
{{- if ne .Values.tls.mode "off" }}
- name: OMEN_TLS_CA
  value: /etc/omend/ca/ca.crt
{{- if .Values.tls.clients.required }}
- name: OMEN_TLS_CERT
  value: /etc/omend/client/tls.crt
- name: OMEN_TLS_KEY
  value: /etc/omend/client/tls.key
{{- end }}
{{- end }}
{{- if ne .Values.auth.mode "off" }}
- name: OMEN_KEY_FILE
  value: /etc/omend/key/key
{{- end }}
{{- end }}

{{/* Without TLS the tool sends a key over the network only when it is told that this is meant. */}}
{{- define "omendb.plainKey" -}}
{{- if and (eq .Values.tls.mode "off") (ne .Values.auth.mode "off") }}, --plain-key{{ end }}
{{- end }}

{{- define "omendb.clientMounts" -}}
{{- if ne .Values.tls.mode "off" }}
- name: ca
  mountPath: /etc/omend/ca
  readOnly: true
{{- if .Values.tls.clients.required }}
- name: client
  mountPath: /etc/omend/client
  readOnly: true
{{- end }}
{{- end }}
{{- if ne .Values.auth.mode "off" }}
- name: key
  mountPath: /etc/omend/key
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "omendb.clientVolumes" -}}
{{- if ne .Values.tls.mode "off" }}
- name: ca
  secret:
    secretName: {{ include "omendb.tlsSecret" . }}
    defaultMode: 288  # 0440
    items:
      - key: ca.crt
        path: ca.crt
{{- if .Values.tls.clients.required }}
- name: client
  secret:
    secretName: {{ include "omendb.jobsTlsSecret" . }}
    defaultMode: 288  # 0440
{{- end }}
{{- end }}
{{- if ne .Values.auth.mode "off" }}
- name: key
  secret:
    secretName: {{ include "omendb.keySecret" . }}
    defaultMode: 288  # 0440
    items:
      - key: {{ .Values.auth.secretKey }}
        path: key
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
{{- end }}
