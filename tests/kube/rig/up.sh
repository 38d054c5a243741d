#!/usr/bin/env bash
# Starts a Kubernetes cluster on this machine: for each node a network namespace with its own containerd, kubelet and
# kube-proxy; pods are real containers. Afterwards KUBECONFIG=STATE_DIRECTORY/admin.kubeconfig.
#
#   up.sh PROGRAMS_DIRECTORY STATE_DIRECTORY [NODES]
#
# Needs root, and Debian's etcd-server, containerd, runc, containernetworking-plugins, iproute2, iptables and openssl.
# A machine has one rig at a time. It belongs to the process FJORD_RIG_OWNER, or else to the one that called this:
# while that lives, another start ends with status 75, and when it has died, the next start clears its rig away.
set -euo pipefail
programs=$(cd "$1" && pwd)
state=$(mkdir -p "$2" && cd "$2" && pwd)
nodes=${3:-3}
owner=${FJORD_RIG_OWNER:-$PPID}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/kube/rig/shared.sh
. "$here/shared.sh"

# Addresses from the range reserved for benchmarks (RFC 2544): they meet no real network.
gateway=198.18.255.254
api_ip=198.18.255.1
service_cidr=198.19.0.0/16 api_service=198.19.0.1 dns_service=198.19.0.10
node_ip() { echo "198.18.255.$((1 + $1))"; }
pod_cidr() { echo "198.18.$1.0/24"; }
all_nodes() { seq 0 $((nodes - 1)); }

claim_machine() {
  exec 9>"$record.lock"
  flock 9
  if [ -s "$record" ]; then
    local other_state other_owner other_began
    { read -r other_state && read -r other_owner && read -r other_began; } <"$record"
    if [ "$(began "$other_owner")" = "$other_began" ]; then
      echo "process $other_owner has a rig already, in $other_state" >&2
      exit 75
    fi
    echo "clearing away the rig of process $other_owner, which is gone"
    mkdir -p "$other_state"
    "$here/down.sh" "$other_state"
  fi
  printf '%s\n' "$state" "$owner" "$(began "$owner")" >"$record"
  exec 9>&-
}

# A daemon in a node's network namespace, in a session of its own, so that a signal for the tests does not reach it.
# `ip netns exec` would mount another /sys, without the control groups that a kubelet needs.
spawn() { # spawn NODE NAME COMMAND...
  local node=$1 name=$2
  shift 2
  setsid nsenter --net="/run/netns/fjk-$node" "$@" >"$state/log/$name.log" 2>&1 </dev/null &
  echo $! >"$state/pids/$name"
}

network() {
  local i j
  ip link add fjk0 type bridge
  ip addr add "$gateway/24" dev fjk0
  ip link set fjk0 up
  for i in $(all_nodes); do
    ip netns add "fjk-$i"
    ip link add "fjk-veth$i" type veth peer name eth0 netns "fjk-$i"
    ip link set "fjk-veth$i" master fjk0 up
    ip -n "fjk-$i" addr add "$(node_ip "$i")/24" dev eth0
    ip -n "fjk-$i" link set lo up
    ip -n "fjk-$i" link set eth0 up
    ip -n "fjk-$i" route add default via "$gateway"
    ip netns exec "fjk-$i" sysctl -qw net.ipv4.ip_forward=1
    ip route add "$(pod_cidr "$i")" via "$(node_ip "$i")"
    for j in $(all_nodes); do
      [ "$i" = "$j" ] || ip -n "fjk-$i" route add "$(pod_cidr "$j")" via "$(node_ip "$j")"
    done
  done
  ip route add "$service_cidr" via "$api_ip"
}

key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1"; }

certificate() { # certificate NAME SUBJECT [ALTERNATIVE_NAMES]: with a kubeconfig that uses it
  key "$1.key"
  openssl req -new -key "$1.key" -out "$1.csr" -subj "$2"
  printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:+subjectAltName=$3}" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile "$1.ext" 2>/dev/null
  cat >"$state/$1.kubeconfig" <<X
apiVersion: v1
kind: Config
clusters: [{name: rig, cluster: {server: "https://$api_ip:6443", certificate-authority: $state/pki/ca.crt}}]
users: [{name: user, user: {client-certificate: $state/pki/$1.crt, client-key: $state/pki/$1.key}}]
contexts: [{name: rig, context: {cluster: rig, user: user}}]
current-context: rig
X
}

certificates() {
  local i
  cd "$state/pki"
  key ca.key
  openssl req -x509 -new -key ca.key -days 30 -out ca.crt -subj /CN=rig-ca -addext basicConstraints=critical,CA:TRUE
  key sa.key
  openssl pkey -in sa.key -pubout -out sa.pub
  certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$api_ip,IP:$api_service"
  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  for i in $(all_nodes); do
    certificate "node-$i" "/O=system:nodes/CN=system:node:node-$i" "DNS:node-$i,IP:$(node_ip "$i")"
  done
  cd "$state"
}

# A node counts as lost after ten seconds instead of forty, so that tests need not wait for it.
control_plane() {
  local pki=$state/pki config=$state/controller-manager.kubeconfig
  spawn 0 etcd etcd --name rig --data-dir "$state/etcd" --unsafe-no-fsync --listen-peer-urls http://127.0.0.1:2380 \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
  spawn 0 apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 \
    --advertise-address="$api_ip" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --client-ca-file="$pki/ca.crt" --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
    --kubelet-preferred-address-types=InternalIP --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-cluster-ip-range="$service_cidr" --authorization-mode=Node,RBAC --allow-privileged=true \
    --feature-gates=PodTopologyLabelsAdmission=true
  await "the API server; see $state/log" 600 kubectl get --raw /readyz
  spawn 0 controller-manager "$programs/kube-controller-manager" --kubeconfig="$config" --authentication-kubeconfig="$config" \
    --authorization-kubeconfig="$config" --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" --use-service-account-credentials \
    --leader-elect=false --service-cluster-ip-range="$service_cidr" --enable-hostpath-provisioner=true \
    --node-monitor-grace-period=10s --node-monitor-period=2s \
    --flex-volume-plugin-dir="$state/plugins"
  spawn 0 scheduler "$programs/kube-scheduler" --kubeconfig="$state/scheduler.kubeconfig" --leader-elect=false
}

# The host-path provisioner makes directories that only root can enter, and host-path volumes ignore fsGroup.
open_volumes() {
  ln -sfn "$state/volumes" "$volumes"
  # shellcheck disable=SC2016
  spawn 0 volumes sh -c 'while sleep 0.3; do chmod -f 0777 "$0"/*; done' "$state/volumes"
}

# The kubelet wants its root group to be there in every hierarchy of v1, or in that of v2 with its controllers.
control_groups() { # control_groups NAME
  local parent file
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    for controller in cpu cpuset memory pids; do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; done
    mkdir -p "/sys/fs/cgroup/$1"
    return
  fi
  for parent in /sys/fs/cgroup/*/; do
    mkdir -p "$parent$1"
    for file in cpuset.cpus cpuset.mems; do [ ! -e "$parent$file" ] || cat "$parent$file" >"$parent$1/$file"; done
  done
}

# Where the kernel refuses negative scores for the out-of-memory killer, no pod would start without restrict_oom_score_adj.
containerd_config() { # containerd_config NODE
  local dir=$state/node-$1
  cat >"$dir/cni/10-bridge.conflist" <<X
{"cniVersion": "0.4.0", "name": "fjk", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {"type": "host-local",
   "dataDir": "$dir/ipam", "ranges": [[{"subnet": "$(pod_cidr "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
X
  cat >"$dir/containerd.toml" <<X
version = 2
root = "$dir/containerd/root"
state = "$dir/containerd/state"
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:rig"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    options = {Root = "$dir/runc"}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
X
}

kubelet_config() { # kubelet_config NODE
  local dir=$state/node-$1
  : >"$dir/resolv.conf"
  cat >"$dir/kubelet.yaml" <<X
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $state/pki/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$dir/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /fjk-$1
clusterDNS: [$dns_service]
clusterDomain: cluster.local
resolvConf: $dir/resolv.conf
podLogsDir: $dir/pod-logs
volumePluginDir: $dir/plugins
failSwapOn: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
syncFrequency: 2s
X
}

node() { # node NUMBER
  local i=$1 dir=$state/node-$1
  mkdir -p "$dir"/{cni,containerd,kubelet}
  containerd_config "$i"
  kubelet_config "$i"
  control_groups "fjk-$i"
  spawn "$i" "containerd-$i" containerd --config "$dir/containerd.toml"
  await "containerd $i; see $state/log" 300 ctr -a "$dir/containerd.sock" version
  ctr -a "$dir/containerd.sock" -n k8s.io images import "$programs/pause.tar" >/dev/null
  spawn "$i" "kubelet-$i" "$programs/kubelet" --config="$dir/kubelet.yaml" --kubeconfig="$state/node-$i.kubeconfig" \
    --root-dir="$dir/kubelet" --cert-dir="$dir/pki" --hostname-override="node-$i" --node-ip="$(node_ip "$i")" \
    --node-labels="topology.kubernetes.io/zone=zone-$i"
  spawn "$i" "proxy-$i" "$programs/kube-proxy" --kubeconfig="$state/proxy.kubeconfig" --proxy-mode=iptables \
    --hostname-override="node-$i" --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
}

node_ready() { kubectl get node "node-$1" | grep -qw Ready; }

export KUBECONFIG=$state/admin.kubeconfig PATH=$programs:$PATH
claim_machine
mkdir -p "$state"/{pki,log,pids,etcd,volumes}
network
certificates
control_plane
open_volumes
for i in $(all_nodes); do node "$i"; done
for i in $(all_nodes); do await "node $i; see $state/log" 600 node_ready "$i"; done
ctr -a "$state/node-0/containerd.sock" -n k8s.io images import "$programs/coredns.tar" >/dev/null
kubectl apply -f "$here/base.yaml" >/dev/null
kubectl -n kube-system rollout status deployment/coredns --timeout=60s
