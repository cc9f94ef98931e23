{{/* The Secret with the token of the fleets' API. */}}
{{- define "secret" -}}
{{ .Values.tokenSecret | default (printf "%s-token" .Release.Name) }}
{{- end }}
