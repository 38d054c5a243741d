{{/* What the operator may do in a namespace that it watches. The chart's README says what each verb is for. */}}
{{- define "fjord.rules" -}}
- apiGroups: [fjord.dev]
  resources: [clusters]
  verbs: [get, list, watch]
- apiGroups: [fjord.dev]
  resources: [topics]
  verbs: [get, list, watch, patch]
- apiGroups: [fjord.dev]
  resources: [clusters/status, topics/status]
  verbs: [get, patch, update]
- apiGroups: [fjord.dev]
  resources: [clusters/finalizers, topics/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* A role and its binding to an account, from {root, name, namespace, account, annotations, rules}: without a namespace they are the whole cluster's. */}}
{{- define "fjord.role" -}}
{{- $kind := ternary "Role" "ClusterRole" (ne .namespace "") }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "fjord.labels" .root | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "fjord.labels" .root | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{/* What leader election takes: a lease cannot be named before it is there, so that only making one is not bound to its name. */}}
{{- define "fjord.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "fjord.fullname" . }}]
  verbs: [get, patch]
{{- end -}}

{{/* What letting go of Topics takes, once the operator is gone. */}}
{{- define "fjord.releaseRules" -}}
- apiGroups: [fjord.dev]
  resources: [topics]
  verbs: [list, patch]
{{- end -}}

{{- define "fjord.releaseLeaseRules" -}}
{{ include "fjord.leaseRules" . }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "fjord.fullname" . }}]
  verbs: [delete]
{{- end -}}
