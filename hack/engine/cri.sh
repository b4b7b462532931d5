# The CRI plugin of containerd, asked as the kubelet asks it: coracle as the handler of a RuntimeClass. Sourced by
# hack/engines.
# shellcheck shell=bash disable=SC2016,SC2153,SC2154

for package in containerd containernetworking-plugins jq protobuf-compiler python3-grpcio python3-protobuf python3-websocket; do
  [ -e "/usr/share/doc/$package" ] || { skip all "$package is not installed" && finish; }
done

mkdir -p "$work/cri"/{bin,logs,net.d,shared}
chmod 711 "$work/cri"
echo below >"$work/cri/shared/file"
protoc --proto_path hack/engine/cri --python_out "$work/cri" runtime.proto
client() { PYTHONPATH=$work/cri timeout "$PATIENCE" /usr/bin/python3 hack/engine/cri/client.py "$@"; }
cri() { client "$work/cri.sock" call "$@"; }                # METHOD JSON
field() { cri "$1" "$2" | jq -r "$3" | head -n 1; }           # METHOD JSON FILTER

# Says how it is called, which proves that the options of a handler arrive.
cat >"$work/cri/bin/runtime" <<RUNTIME
#!/bin/sh
echo "\$*" >>"$work/cri/calls"
exec "$CORACLE" "\$@"
RUNTIME
chmod 755 "$work/cri/bin/runtime"

# containerd 1.6 gives runtimes it does not know the path of a file; since 1.7 the options may stand in its own, too.
options() { # SYSTEMD
  printf '%s\n' "BinaryName = \"$work/cri/bin/runtime\"" "Root = \"$work/cri/states\"" "SystemdCgroup = $1"
}
options false >"$work/cri/options.toml"
options true >"$work/cri/options-systemd.toml"
handler() { # NAME TYPE OPTIONS
  printf '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.%s]\nruntime_type = "%s"\n' "$1" "$2"
  printf '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.%s.options]\n%s\n' "$1" "$3"
}
cat >"$work/cri/config.toml" <<CONFIG
version = 2
root = "$work/cri/root"
state = "$work/cri/state"
[grpc]
  address = "$work/cri.sock"
[ttrpc]
  address = "$work/cri.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "local.test/pause:latest"
  restrict_oom_score_adj = true
  containerd.default_runtime_name = "binary"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$work/cri/net.d"
$(handler binary io.containerd.runc.v2 "$(options false)")
$(handler binary-by-systemd io.containerd.runc.v2 "$(options true)")
$(handler shim io.containerd.coracle.v2 "ConfigPath = \"$work/cri/options.toml\"")
$(handler shim-by-systemd io.containerd.coracle.v2 "ConfigPath = \"$work/cri/options-systemd.toml\"")
CONFIG
cat >"$work/cri/net.d/pods.conflist" <<CONFIG
{ "cniVersion": "0.4.0", "name": "pods", "plugins": [{ "type": "bridge", "bridge": "cni0", "isGateway": true,
  "ipam": { "type": "host-local", "subnet": "172.31.242.0/24", "dataDir": "$work/cri/addresses" } }] }
CONFIG

start_containerd() {
  PATH=${SHIM%/*}:$PATH containerd --config "$work/cri/config.toml" >>"$work/cri/log" 2>&1 &
  daemon=$!
  wait_for ready || { tail -n 20 "$work/cri/log" && exit 1; }
}
ready() { [ "$(field Status '{}' '[.status.conditions[].status] | all')" = true ]; }

load_images() {
  ctr -a "$work/cri.sock" -n k8s.io images import "$work/image.tar" >/dev/null &&
    ctr -a "$work/cri.sock" -n k8s.io images import "$work/pause.tar" >/dev/null
}

pod_config() { # NAME PID-MODE
  printf '{"metadata":{"name":"%s","uid":"%s","namespace":"default"},"hostname":"%s","log_directory":"%s","linux":{
    "cgroup_parent":"/%s","security_context":{"namespace_options":{"pid":"%s"}},"sysctls":{"net.ipv4.ip_default_ttl":"7"}}}' \
    "$1" "$engine $1" "$1" "$work/cri/logs" "${work##*/}" "$2"
}
run_pod() { # NAME PID-MODE HANDLER
  field RunPodSandbox "{\"config\":$(pod_config "$1" "$2"),\"runtime_handler\":\"$3\"}" .podSandboxId
}
# create POD POD-NAME PID-MODE NAME MORE COMMAND...: MORE is fields of the configuration as JSON.
create() {
  local pod=$1 config more=$5
  config=$(pod_config "$2" "$3")
  field CreateContainer "$(jq -n --argjson sandbox "$config" --argjson more "$more" --arg pod "$pod" --arg name "$4" \
    --arg mode "$3" --argjson command "$(json_array "${@:6}")" '{pod_sandbox_id: $pod, sandbox_config: $sandbox, config: ({metadata: {name: $name},
      image: {image: "local.test/busybox:latest"}, command: $command, log_path: ($name + ".log"),
      linux: {security_context: {namespace_options: {pid: $mode}}}} * $more)}')" .containerId
}
start() { cri StartContainer "{\"container_id\":\"$1\"}"; }
remove() { cri RemoveContainer "{\"container_id\":\"$1\"}"; }
state() { field ContainerStatus "{\"container_id\":\"$1\"}" '.status | "\(.state) \(.exitCode) \(.reason)"'; }
ended() { [[ $(state "$1") == CONTAINER_EXITED* ]]; }
run_sync() { cri ExecSync "{\"container_id\":\"$1\",\"timeout\":30,\"cmd\":$(json_array "${@:2}")}"; } # CONTAINER COMMAND...
exec_url() { # CONTAINER STREAMS COMMAND...
  field Exec "{\"container_id\":\"$1\",\"stdin\":true,\"stdout\":true,$2,\"cmd\":$(json_array "${@:3}")}" .url
}
attach_url() { field Attach "{\"container_id\":\"$1\",\"stdin\":true,\"stdout\":true,\"stderr\":true}" .url; }
forward_url() { field PortForward "{\"pod_sandbox_id\":\"$1\",\"port\":[$2]}" .url; } # POD PORT

# What is used, where the kubelet looks for it.
memory_used() { [ "$(field ContainerStats "{\"container_id\":\"$1\"}" '.stats.memory.workingSetBytes.value | tonumber')" -gt 0 ]; }
time_used() { [ "$(field ContainerStats "{\"container_id\":\"$1\"}" '.stats.cpu.usageCoreNanoSeconds.value | tonumber')" -gt 0 ]; }
pod_used() { [ "$(field PodSandboxStats "{\"pod_sandbox_id\":\"$1\"}" '.stats.linux.memory.workingSetBytes.value | tonumber')" -gt 0 ]; }
limit_is() { # CONTAINER BYTES
  cgroups -path "*/${work##*/}/$1/memory.*" '(' -name memory.limit_in_bytes -o -name memory.max ')' -exec cat {} + |
    grep -qx "$2"
}
logged() { grep -q "stdout F $2\$" "$work/cri/logs/$1.log"; } # NAME TEXT

# Two containers of one pod: the network, the host name and /dev/shm are the pod's.
shared_pod() { # HANDLER
  local pod web other shims
  pod=$(run_pod pod CONTAINER "$1")
  check "a pod" '0 SANDBOX_READY '"$1" field PodSandboxStatus "{\"pod_sandbox_id\":\"$pod\"}" '.status | "\(.state) \(.runtimeHandler)"'
  web=$(create "$pod" pod CONTAINER web '{"linux":{"resources":{"memory_limit_in_bytes":"67108864","cpu_quota":"50000"}}}' \
    sh -c 'echo begun; exec httpd -f -h /etc')
  check "a container" '0 {}' start "$web"
  check "runs" '0 CONTAINER_RUNNING 0 *' state "$web"
  check "its log" '0 ' wait_for logged web begun
  check "its limit of memory" '0 ' limit_is "$web" 67108864
  other=$(create "$pod" pod CONTAINER other '{"stdin":true,"envs":[{"key":"A","value":"b"}],"working_dir":"/tmp"}' \
    sh -c 'until read -t 1 line; do echo waiting; done; echo "got $line from $PWD $A"; exit 4')
  check "another container" '0 {}' start "$other"
  mapfile -t shims < <(pgrep -f '^[^ ]*containerd-shim')
  check "one shim for both" '0 1' echo "${#shims[@]}"
  check "the network is the pod's" '0 root:x:0:*' run_sync "$other" sh -c 'until wget -q -O - http://127.0.0.1/group; do sleep 0.1; done'
  check "which has an address" '0 *172.31.242.*' run_sync "$other" ip address show dev eth0
  check "the host name is the pod's" '0 pod' run_sync "$other" hostname
  check "and the sysctl" '0 7' run_sync "$web" cat /proc/sys/net/ipv4/ip_default_ttl
  run_sync "$web" sh -c 'echo >/dev/shm/there'
  check "ipc is the pod's" '0 /dev/shm/there' run_sync "$other" ls /dev/shm/there
  check "pids are the container's" '0 *1 root*httpd*' run_sync "$web" ps
  check "exec, and its exit code" '5 said' run_sync "$web" sh -c 'echo said; exit 5'
  check "exec of what is not there" '1 *no such file or directory*' run_sync "$web" /nosuchprogram
  check "exec, streamed" '6 typed' client exec "$(exec_url "$web" '"stderr":true' sh -c 'read line; echo "$line"; exit 6')" $'typed\n'
  check "exec with a terminal of the caller's size" '0 *11 22*' client exec "$(exec_url "$web" '"tty":true' \
    sh -c 'until [ "$(stty size)" = "11 22" ]; do sleep 0.1; done; stty size')" ''
  check "attach" '0 *got this from /tmp b*' client attach "$(attach_url "$other")" $'this\n'
  check "it ends" '0 ' wait_for ended "$other"
  check "with its exit code" '0 CONTAINER_EXITED 4 Error' state "$other"
  check "port-forward" '0 *200 OK*root:x:0:*' client forward "$(forward_url "$pod" 80)" $'GET /group HTTP/1.0\r\n\r\n'
  check "memory it uses" '0 ' wait_for memory_used "$web"
  check "processor time it used" '0 ' wait_for time_used "$web"
  check "memory the pod uses" '0 ' wait_for pod_used "$pod"
  check "update" '0 {}' cri UpdateContainerResources "{\"container_id\":\"$web\",\"linux\":{\"memory_limit_in_bytes\":33554432}}"
  check "updated" '0 ' limit_is "$web" 33554432
  kill -KILL "$daemon" && wait "$daemon" 2>/dev/null
  start_containerd
  check "runs after containerd was killed" '0 CONTAINER_RUNNING 0 *' state "$web"
  check "exec after that" '0 again' run_sync "$web" echo again
  check "stop" '0 {}' cri StopContainer "{\"container_id\":\"$web\",\"timeout\":1}"
  check "stopped" '0 CONTAINER_EXITED 137 Error' state "$web"
  check "remove" '0 {}' remove "$web"
  check "remove the other" '0 {}' remove "$other"
  end_pod "$pod"
}

# All that a pod may say about the security of a container, and a pod whose containers see each other's processes.
confined_pod() { # HANDLER
  local pod container eater first
  pod=$(run_pod confined POD "$1")
  first=$(create "$pod" confined POD first '{}' sleep 601)
  check "a pod of shared pids" '0 {}' start "$first"
  container=$(create "$pod" confined POD second "{\"mounts\":[{\"container_path\":\"/mnt\",\"host_path\":\"$work/cri/shared\",\"readonly\":true}],
    \"linux\":{\"security_context\":{\"run_as_user\":{\"value\":\"1000\"},\"supplemental_groups\":[\"7\"],\"readonly_rootfs\":true,
    \"no_new_privs\":true,\"capabilities\":{\"drop_capabilities\":[\"ALL\"],\"add_capabilities\":[\"NET_RAW\"]},
    \"masked_paths\":[\"/proc/timer_list\"],\"readonly_paths\":[\"/proc/sys\"],\"seccomp\":{\"profile_type\":\"RuntimeDefault\"}}}}" sleep 602)
  check "with a confined container" '0 {}' start "$container"
  check "processes of the other container" '0 *sleep 601*sleep 602*' run_sync "$container" ps
  check "user and groups" '0 1000 7' run_sync "$container" sh -c 'echo $(id -u) $(id -G | tr " " "\n" | grep -x 7)'
  check "read-only root" '1 *Read-only file system*' run_sync "$container" touch /x
  check "read-only mount" '0 below' run_sync "$container" sh -c '! touch /mnt/x 2>/dev/null && cat /mnt/file'
  check "bounding capabilities" '0 *0000000000002000' run_sync "$container" grep CapBnd /proc/self/status
  check "no new privileges, filtered" '0 *1*2' run_sync "$container" grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status
  check "masked and read-only paths" '0 0' run_sync "$container" sh -c 'cat /proc/timer_list | wc -c; ! grep "/proc/sys proc rw" /proc/mounts'
  eater=$(create "$pod" confined POD eater '{"linux":{"resources":{"memory_limit_in_bytes":"16777216"}}}' tail /dev/zero)
  check "one that eats memory" '0 {}' start "$eater"
  check "ends" '0 ' wait_for ended "$eater"
  check "out of memory, and said so" '0 CONTAINER_EXITED 137 OOMKilled' state "$eater"
  end_pod "$pod"
}

# Stops and removes a pod with all that runs in it.
end_pod() { # POD
  check "stop the pod" '0 {}' cri StopPodSandbox "{\"pod_sandbox_id\":\"$1\"}"
  check "it is not ready" '0 SANDBOX_NOTREADY' field PodSandboxStatus "{\"pod_sandbox_id\":\"$1\"}" .status.state
  check "remove the pod" '0 {}' cri RemovePodSandbox "{\"pod_sandbox_id\":\"$1\"}"
}

# What is left of pods: processes, state, mounts, network namespaces, cgroups.
left() {
  pgrep -af '^[^ ]*containerd-shim'
  find "$work/cri/states" -mindepth 2 -maxdepth 2
  grep -o "$work/cri/state[^ ]*" /proc/self/mountinfo
  ls /run/netns 2>/dev/null
  cgroups -path "*/${work##*/}/*" -type d
  true
}
is_clean() { [ -z "$(left)" ]; }

all_checks() { # NAME HANDLER
  engine=$1
  : >"$work/cri/calls"
  shared_pod "$2"
  confined_pod "$2"
  check "the runtime was the handler's BinaryName, with its Root" '0 ' grep -q -- "--root $work/cri/states/k8s.io .*create" "$work/cri/calls"
  check "not by systemd" '1 ' grep -e --systemd-cgroup "$work/cri/calls"
  # There is none here, and what it says about that differs.
  run_pod by-systemd CONTAINER "$2-by-systemd" >/dev/null 2>&1
  check "SystemdCgroup of a handler" '0 ' grep -q -- "--systemd-cgroup.* create" "$work/cri/calls"
  check "no handler of that name" '1 *no runtime for "nosuch"*' cri RunPodSandbox \
    "{\"config\":$(pod_config nosuch CONTAINER),\"runtime_handler\":\"nosuch\"}"
  wait_for is_clean
  check "nothing is left" '0 ' left
}

start_containerd
check "images" '0 ' load_images
all_checks "cri" binary
[ -n "${PEER:-}" ] || all_checks "cri with the shim" shim
kill "$daemon" && wait "$daemon" 2>/dev/null
