# What up.sh and down.sh both know. Sourced by them.
# shellcheck shell=bash disable=SC2034

# Names the rig that runs, and the process for which it does: line 1 the state directory, 2 the process id, 3 when it began.
record=/run/fjord-rig
# Kubernetes' host-path provisioner makes its volumes here, which cannot be changed; so it becomes a link into the state.
volumes=/tmp/hostpath_pv

await() { # await WHAT TRIES COMMAND...
  local what=$1 tries=$2
  shift 2
  for _ in $(seq "$tries"); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "gave up waiting for $what" >&2
  return 1
}

cgroups() { # The nodes' control groups, in every hierarchy.
  local group
  for group in /sys/fs/cgroup/fjk-* /sys/fs/cgroup/*/fjk-*; do
    [ -d "$group" ] && [ ! -L "${group%/*}" ] && echo "$group"
  done
  return 0
}

began() { # began PROCESS_ID: when it began, by the system's clock; nothing if it is gone
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}
