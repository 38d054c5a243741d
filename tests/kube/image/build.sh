#!/usr/bin/env bash
# Builds the project's Dockerfile where no image can be pulled, and the image of the clients that the tests run in pods.
#
#   build.sh [DIRECTORY]      (needs: root, Debian, buildah, and what the project is compiled with)
#
# The base images are made here: BASE from the Debian packages that distroless/cc consists of, BUILDER from this very
# machine, whose compiler and /usr are mounted. The sources are at the same place in it, with the same target folder: so
# what `cargo build --release` has compiled already is not compiled again.
#
# The results are kept outside of the project, by a hash of what they are made of. The last line printed is their
# directory: fjord.tar (localhost/fjord:test), next.tar (the same with another label, localhost/fjord:next), and
# clients.tar (localhost/fjord-clients:test).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../../.." && pwd)
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/fjord/images}
kept=4
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tool() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
bud() { tool bud --isolation chroot --network host "$@"; }

digest() { # digest PATH...: of these files and the ones below these folders, without what Git ignores
  (cd "$project" && git ls-files -z --cached --others --exclude-standard -- "$@" | sort -z |
    xargs -0 -r sha256sum 2>/dev/null | sha256sum | cut -c1-24)
}

# unpack DIRECTORY PACKAGE...: Debian packages, without their scripts. The lists of packages may be older than the mirror.
unpack() {
  local directory=$1
  shift
  mkdir -p "$work/debs" "$directory"
  (cd "$work/debs" && { apt-get download -qq "$@" || { apt-get update -qq && apt-get download -qq "$@"; }; } 2>"$work/apt.log") ||
    { cat "$work/apt.log" >&2; return 1; }
  for package in "$work"/debs/*.deb; do dpkg -x "$package" "$directory"; done
  rm -r "$work/debs"
}

# What distroless/cc has: the C and C++ libraries, certificates, time zones, and a user.
base_image() {
  local root=$work/base
  unpack "$root" base-files libc6 libgcc-s1 libstdc++6 ca-certificates tzdata netbase
  rm -rf "$root"/usr/share/{doc,man,locale,lintian}
  mkdir -p "$root"/{etc/ssl/certs,home/nonroot,tmp}
  chmod 1777 "$root/tmp"
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
  printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$root/etc/passwd"
  printf '%s\n' root:x:0: nonroot:x:65532: >"$root/etc/group"
  image base "$root" scratch 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' 'USER 65532:65532' 'WORKDIR /home/nonroot'
}

# Empty but for the links to /usr, which is mounted.
builder_image() {
  local root=$work/builder link
  mkdir -p "$root"/{usr,etc,tmp,root}
  for link in bin sbin lib lib64; do [ ! -L "/$link" ] || ln -s "$(readlink "/$link")" "$root/$link"; done
  cp /etc/passwd /etc/group "$root/etc/"
  image builder "$root" scratch "ENV PATH=$PATH HOME=$HOME RUSTUP_HOME=$rustup"
}

image() { # image NAME DIRECTORY BASE INSTRUCTION...: the directory on top of another image
  local name=$1 directory=$2 base=$3
  shift 3
  printf '%s\n' "FROM $base" 'COPY . /' "$@" >"$work/Dockerfile"
  bud -q -t "localhost/$name" -f "$work/Dockerfile" "$directory" >/dev/null
}

push() { tool push -q "localhost/$1" "oci-archive:$work/$2.tar:localhost/$1" && mv "$work/$2.tar" "$out/$2.tar"; }

build_fjord() {
  local mount mounts=() version
  builder_image
  for mount in /usr:ro /etc/alternatives:ro "$rustup:ro" "$cargo:rw" "$target:rw"; do
    mkdir -p "${mount%:*}"
    mounts+=(-v "${mount%:*}:${mount%:*}:${mount##*:}")
  done
  version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$project/Cargo.toml")
  bud "${mounts[@]}" -t localhost/fjord:test --build-arg BASE=localhost/base --build-arg BUILDER=localhost/builder \
    --build-arg SOURCES="$project" --build-arg DOWNLOADS="$cargo" --build-arg TARGET="$target" \
    --build-arg VERSION="$version" --build-arg REVISION="$(git -C "$project" rev-parse HEAD)" "$project"
  mkdir "$work/nothing"
  image fjord:next "$work/nothing" localhost/fjord:test "LABEL org.opencontainers.image.version=$version-next"
  push fjord:test fjord
  push fjord:next next
}

# Python with the Kafka client of tests/requirements.txt, and the load with its checker.
build_clients() {
  local root=$work/clients packages
  packages=$(apt-cache depends --recurse --important --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    python3 | grep '^[a-z]' | grep -vE 'perl|^dpkg$|^tar$|^install-info$' | sort -u)
  # shellcheck disable=SC2086
  unpack "$root" $packages
  rm -rf "$root"/usr/share/{doc,man,locale,lintian,perl5}
  python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --only-binary :all: \
    --python-version "$(readlink "$root/usr/bin/python3" | tr -d "[:lower:]")" --target "$root/opt/tests" \
    "$(grep '^confluent-kafka==' "$project/tests/requirements.txt")"
  cp -r "$project/tests/harness" "$root/opt/tests/harness"
  image fjord-clients:test "$root" localhost/base 'ENV PYTHONPATH=/opt/tests' 'ENTRYPOINT ["/usr/bin/python3", "-m"]'
  push fjord-clients:test clients
}

cargo=${CARGO_HOME:-$HOME/.cargo}
rustup=${RUSTUP_HOME:-$HOME/.rustup}
target=${CARGO_TARGET_DIR:-$project/target}
sources="Dockerfile .dockerignore Cargo.toml Cargo.lock LICENSE NOTICE broker cli client operator proto tests/sim"
# shellcheck disable=SC2086
out=$cache/$(digest $sources tests/kube/image tests/harness tests/requirements.txt)
mkdir -p "$out"
if [ ! -f "$out/next.tar" ] || [ ! -f "$out/clients.tar" ]; then
  base_image
  [ -f "$out/next.tar" ] || build_fjord
  [ -f "$out/clients.tar" ] || build_clients
fi
touch "$out"
# shellcheck disable=SC2012
ls -dt "$cache"/*/ | tail -n +$((kept + 1)) | xargs -r rm -rf
echo "$out"
