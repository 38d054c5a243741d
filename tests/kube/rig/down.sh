#!/usr/bin/env bash
# Ends what up.sh has started: daemons, pods, mounts, networks; then removes the state. Also after half a start, and
# after daemons died by themselves; what is gone already is passed over.
#
#   down.sh STATE_DIRECTORY
set -uo pipefail
state=$(cd "$1" && pwd) || exit 1
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/kube/rig/shared.sh
. "$here/shared.sh"

# Nothing here needs time to end well, since all of it is thrown away. A process id is of ours only if its command
# names the state: after a crash, the number may have been given to another process.
for file in "$state"/pids/*; do
  pid=$(cat "$file" 2>/dev/null) || continue
  grep -qaF "$state" "/proc/$pid/cmdline" 2>/dev/null && kill -KILL "$pid" 2>/dev/null
done
# The parents of containers are children of nobody, and name the socket of the containerd that they belong to.
for process in /proc/[0-9]*; do
  if grep -qsaF "$state/node-" "$process/cmdline" && [[ $(readlink "$process/exe") == */containerd-shim* ]]; then
    kill -KILL "${process#/proc/}" 2>/dev/null
  fi
done
pods_end() { # Asks again, since a process may be starting another one.
  local group left
  left=$(for group in $(cgroups); do find "$group" -name cgroup.procs -exec cat {} +; done 2>/dev/null)
  # shellcheck disable=SC2086
  [ -z "$left" ] || { kill -KILL $left 2>/dev/null; return 1; }
}
await "the pods to end" 100 pods_end

unmounted() {
  awk -v prefix="$state/" 'index($2, prefix) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount -l
  ! grep -qF " $state/" /proc/mounts
}
await "mounts to go" 50 unmounted
ip netns list | awk '/^fjk-/ {print $1}' | xargs -r -n1 ip netns del
ip link del fjk0 2>/dev/null
cgroups_gone() {
  local group
  for group in $(cgroups); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done
  [ -z "$(cgroups)" ]
}
await "control groups to go" 100 cgroups_gone

# What containerd, CNI and the kubelet keep at fixed places, by the names of the containers.
for bundle in "$state"/node-*/containerd/state/io.containerd.runtime.v2.task/k8s.io/*/; do
  [ ! -e "$bundle/address" ] || rm -f "$(sed 's|^unix://||' "$bundle/address")"
  rm -f "/var/lib/cni/results/fjk-$(basename "$bundle")-eth0" "/var/lib/cni/results/cni-loopback-$(basename "$bundle")-lo"
done
# All kubelets take this one over from each other, so it was ours.
rm -f /var/lib/kubelet/device-plugins/kubelet.sock
find /var/log/containers -lname "$state/*" -delete 2>/dev/null
[ "$(readlink "$volumes")" = "$state/volumes" ] && rm -f "$volumes"
[ "$(sed -n 1p "$record" 2>/dev/null)" = "$state" ] && rm -f "$record"
rm -rf "$state"
