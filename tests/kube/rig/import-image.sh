#!/usr/bin/env bash
# Brings image archives (buildah push NAME oci-archive:FILE:NAME) into every node.
#
#   import-image.sh STATE_DIRECTORY ARCHIVE...
set -euo pipefail
state=$1
shift
imports=()
for socket in "$state"/node-*/containerd.sock; do
  for archive in "$@"; do ctr -a "$socket" -n k8s.io images import "$archive"; done &
  imports+=($!)
done
for import in "${imports[@]}"; do wait "$import"; done
