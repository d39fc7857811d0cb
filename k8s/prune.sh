#!/bin/sh
# Deletes the settings of releases that are gone: ConfigMaps `floodgate-…` that no pod uses and no ReplicaSet names, to which
# `rollout undo` could go back. To be run when a rollout is through; -n on the command line only says what it would do.
set -eu
dry_run=none
[ "${1:-}" = -n ] && dry_run=client
named=$(kubectl get replicasets,pods -n floodgate \
  -o jsonpath='{range .items[*]}{.spec.template.spec.containers[*].envFrom[*].configMapRef.name}{" "}{.spec.containers[*].envFrom[*].configMapRef.name}{" "}{end}')
# None named at all is a question that went wrong.
[ -n "$(echo "$named" | tr -d ' ')" ] || { echo 'No ReplicaSet names a ConfigMap: nothing is deleted.' >&2; exit 1; }
for name in $(kubectl get configmaps -n floodgate -o name | sed -n 's|^configmap/\(floodgate-[2456789bcdfghkmt]\{10\}\)$|\1|p'); do
  case " $(echo "$named" | tr '\n' ' ') " in
  *" $name "*) ;;
  *) kubectl delete configmap "$name" -n floodgate --dry-run="$dry_run" ;;
  esac
done
