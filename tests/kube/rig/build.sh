#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster from their Go modules, the two images that a node needs, and Helm.
#
#   build.sh [DIRECTORY]      (needs: go, gcc, buildah; about ten minutes on two cores, once)
#
# They are kept outside of the project, since a test run in a fresh clone shall not build them again; what is
# there already is not built. The last line printed is the directory.
set -euo pipefail
version=1.34.4 # A 1.34 kubelet is the last one that runs on cgroup v1 without being asked to.
coredns_version=1.12.4
helm_versions="4.2.4 3.19.2"
out=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/fjord/kube/$version}
mkdir -p "$out"
# Of two that build at once, the second one finds everything there.
exec 9>"$out/lock"
flock 9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false

staging="api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
code-generator component-base component-helpers controller-manager cri-api cri-client csi-translation-lib
dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy
kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver sample-cli-plugin sample-controller"
programs="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl"

# k8s.io/kubernetes replaces its own parts by folders beside it, which `go install` refuses: so a module around it
# replaces them by their published versions.
kubernetes_module() {
  mkdir "$work/kubernetes"
  cd "$work/kubernetes"
  { printf 'module kubernetes_programs\ngo 1.24.0\nrequire k8s.io/kubernetes v%s\n' "$version"
    for part in $staging; do echo "replace k8s.io/$part => k8s.io/$part v0.${version#1.}"; done; } >go.mod
  { printf '//go:build tools\npackage tools\n'
    for program in $programs; do echo "import _ \"k8s.io/kubernetes/cmd/$program\""; done; } >tools.go
  go mod tidy 2>"$work/tidy.log" || { cat "$work/tidy.log" >&2; return 1; }
}

# A program is moved to its place when it is whole: what is there can be used, whenever the build was ended.
build() { # build NAME PACKAGE [LINKER_FLAGS]
  echo "building $1"
  go build -trimpath -ldflags "-s -w ${3:-}" -o "$work/program" "$2"
  mv "$work/program" "$out/$1"
}

build_kubernetes() {
  local program missing="" flags
  for program in $programs; do [ -x "$out/$program" ] || missing+=" $program"; done
  [ -n "$missing" ] || return 0
  kubernetes_module
  flags="-X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/client-go/pkg/version.gitVersion=v$version"
  flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$version")"
  for program in $missing; do build "$program" "k8s.io/kubernetes/cmd/$program" "$flags"; done
}

build_coredns() {
  mkdir "$work/coredns"
  cd "$work/coredns"
  printf 'module coredns_program\ngo 1.24.0\nrequire github.com/coredns/coredns v%s\n' "$coredns_version" >go.mod
  printf '//go:build tools\npackage tools\nimport _ "github.com/coredns/coredns"\n' >tools.go
  go mod tidy 2>"$work/tidy.log" || { cat "$work/tidy.log" >&2; return 1; }
  build coredns github.com/coredns/coredns
}

# Each node's pods hang on this program, which keeps their namespaces and waits for orphans.
build_pause() {
  cat >"$work/pause.c" <<'C'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void quit(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
  signal(SIGINT, quit);
  signal(SIGTERM, quit);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
C
  gcc -static -O2 -s -o "$out/pause" "$work/pause.c"
}

pack() { # pack PROGRAM: an image of this one file, as an archive that containerd imports
  local name=localhost/$1:rig storage=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)
  mkdir "$work/$1.image"
  cp "$out/$1" "$work/$1.image/program"
  printf 'FROM scratch\nCOPY program /program\nENTRYPOINT ["/program"]\n' >"$work/$1.image/Dockerfile"
  buildah "${storage[@]}" bud --isolation chroot -t "$name" "$work/$1.image" >/dev/null
  buildah "${storage[@]}" push "$name" "oci-archive:$work/$1.tar:$name" >/dev/null 2>&1
  mv "$work/$1.tar" "$out/$1.tar"
}

build_helm() { # build_helm VERSION: becomes helm3 or helm4
  GOBIN=$work/helm go install -trimpath -ldflags "-s -w" "helm.sh/helm/v${1%%.*}/cmd/helm@v$1"
  mv "$work/helm/helm" "$out/helm${1%%.*}"
}

build_kubernetes
[ -x "$out/coredns" ] || build_coredns
[ -x "$out/pause" ] || build_pause
for image in pause coredns; do [ -f "$out/$image.tar" ] || pack "$image"; done
for helm_version in $helm_versions; do
  [ -x "$out/helm${helm_version%%.*}" ] || { echo "building helm $helm_version"; build_helm "$helm_version"; }
done
echo "$out"
