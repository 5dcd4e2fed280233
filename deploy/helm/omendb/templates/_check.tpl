{{/* _check.tpl - combinations of values that the schema cannot refuse. Called once, by the server's
     template, so that every render passes here. SPDX-License-Identifier: Apache-2.0 */}}
{{- define "omendb.check" -}}
{{- $v := .Values -}}
{{- if and (eq $v.tls.mode "secret") (not $v.tls.secret) -}}
{{- fail "tls.mode is secret: name it in tls.secret (it has tls.crt, tls.key and ca.crt)" -}}
{{- end -}}
{{- if and (ne $v.tls.mode "secret") $v.tls.secret -}}
{{- fail (printf "tls.secret is set but tls.mode is %s: say tls.mode=secret" $v.tls.mode) -}}
{{- end -}}
{{- if and (eq $v.tls.mode "certManager") (not $v.tls.certManager.issuer.name) -}}
{{- fail "tls.mode is certManager: name an issuer in tls.certManager.issuer.name" -}}
{{- end -}}
{{- if and $v.tls.clients.required (eq $v.tls.mode "off") -}}
{{- fail "tls.clients.required wants TLS: tls.mode must not be off" -}}
{{- end -}}
{{- if and $v.tls.clients.required (eq $v.tls.mode "secret") (not $v.tls.clients.jobsSecret) (or $v.backup.enabled $v.tests.enabled) -}}
{{- fail "tls.clients.required with tls.mode=secret: backups and tests need a certificate too; name its Secret in tls.clients.jobsSecret, or switch backup.enabled and tests.enabled off" -}}
{{- end -}}
{{- if and $v.tls.clients.required $v.tls.clients.caSecret (not $v.tls.clients.jobsSecret) (or $v.backup.enabled $v.tests.enabled) -}}
{{- fail "tls.clients.caSecret is an authority of yours: backups and tests need a certificate of it; name its Secret in tls.clients.jobsSecret, or switch backup.enabled and tests.enabled off" -}}
{{- end -}}
{{- if and (eq $v.auth.mode "secret") (not $v.auth.secret) -}}
{{- fail "auth.mode is secret: name it in auth.secret" -}}
{{- end -}}
{{- if and (ne $v.auth.mode "secret") $v.auth.secret -}}
{{- fail (printf "auth.secret is set but auth.mode is %s: say auth.mode=secret" $v.auth.mode) -}}
{{- end -}}
{{- if and (eq $v.auth.mode "off") (or $v.auth.jwt.secret $v.auth.certificateIdentities) -}}
{{- fail "auth.mode is off: auth.jwt and auth.certificateIdentities would have no effect" -}}
{{- end -}}
{{- if and (eq $v.server.console "any") (eq $v.auth.mode "off") -}}
{{- fail "server.console is any: the console would ask nobody for a credential; set auth.mode, or server.console=local" -}}
{{- end -}}
{{- if and $v.auth.certificateIdentities (not $v.tls.clients.required) -}}
{{- fail "auth.certificateIdentities wants tls.clients.required" -}}
{{- end -}}
{{- if and $v.auth.jwt.secret (or (not $v.auth.jwt.algorithm) (not $v.auth.jwt.audience)) -}}
{{- fail "auth.jwt.secret wants auth.jwt.algorithm (the one that is accepted) and auth.jwt.audience" -}}
{{- end -}}
{{- if and $v.restore.enabled (ne (int $v.replicas) 0) -}}
{{- fail "restore.enabled: stop the server first (replicas: 0), it has the data folder" -}}
{{- end -}}
{{- if and $v.restore.enabled (not $v.restore.backup) -}}
{{- fail "restore.enabled: name the backup in restore.backup" -}}
{{- end -}}
{{- if and $v.restore.enabled (not $v.restore.existingClaim) (not $v.backup.enabled) -}}
{{- fail "restore.enabled: there are no backups; name their claim in restore.existingClaim, or set backup.enabled" -}}
{{- end -}}
{{- $least := add (int $v.server.predrainSeconds) (int $v.server.graceSeconds) 15 -}}
{{- if lt (int $v.terminationGracePeriodSeconds) (int $least) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d: a stop needs server.predrainSeconds + server.graceSeconds + 15 = %d" (int $v.terminationGracePeriodSeconds) (int $least)) -}}
{{- end -}}
{{- $ours := include "omendb.ownOptions" . | fromJson -}}
{{- range $name, $value := $v.server.config -}}
{{- if hasKey $ours $name -}}
{{- fail (printf "server.config.%s: the chart sets this option itself; use %s" $name (index $ours $name)) -}}
{{- end -}}
{{- end -}}
{{- range $v.monitoring.prometheusRule.without -}}
{{- if not (has . (include "omendb.alertNames" $ | fromJsonArray)) -}}
{{- fail (printf "monitoring.prometheusRule.without: there is no alert %s" .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Options of omend that have values of their own here. */}}
{{- define "omendb.ownOptions" -}}
{{- dict "listen" "server.listenAddress" "admin-listen" "server.listenAddress" "data-dir" "storage"
      "backup-dir" "backup" "durability" "server.durability" "memory-limit" "server.memoryLimit"
      "log-level" "server.logLevel" "log-format" "server.logFormat" "log-file" "the log of the pod"
      "predrain-ms" "server.predrainSeconds" "grace-ms" "server.graceSeconds" "console" "server.console"
      "tls-cert" "tls" "tls-key" "tls" "tls-client-ca" "tls.clients" "insecure-expose" "tls.mode=off"
      "catalog" "auth" "bootstrap-key-file" "auth" "jwt-key" "auth.jwt" "jwt-algorithm" "auth.jwt.algorithm"
      "jwt-issuer" "auth.jwt.issuer" "jwt-audience" "auth.jwt.audience"
      "certificate-identities" "auth.certificateIdentities" "config" "server.config" | toJson -}}
{{- end }}

{{- define "omendb.alertNames" -}}
{{- $names := list -}}
{{- range (.Files.Get "files/omendb.rules.yml" | fromYaml).groups -}}
{{- range .rules -}}
{{- with .alert }}{{ $names = append $names . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end }}
