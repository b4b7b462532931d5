# podman with the cgroupfs driver and storage of its own, as root and as an ordinary user. Sourced by hack/engines.
# shellcheck shell=bash disable=SC2154,SC2016
. hack/engine/podman/pods.sh
. hack/engine/podman/networks.sh
. hack/engine/podman/rootless.sh

type -P podman conmon >/dev/null || { skip all "podman is not installed" && finish; }

mkdir -m 711 "$work/podman"
nofile=$(ulimit -Hn) nproc=$(ulimit -Hu)
[ "$nofile" != unlimited ] || nofile=1048576
[ "$nproc" != unlimited ] || nproc=30000
cat >"$work/podman/containers.conf" <<CONFIG
[containers]
# podman asks for more than a caller without CAP_SYS_RESOURCE may give.
default_ulimits = ["nofile=$nofile:$nofile", "nproc=$((nproc < 30000 ? nproc : 30000)):$((nproc < 30000 ? nproc : 30000))"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "under-test"
infra_image = "local.test/pause:latest"
[engine.runtimes]
under-test = ["$CORACLE"]
[network]
network_config_dir = "$work/podman/networks"
CONFIG
cat >"$work/podman/storage.conf" <<CONFIG
[storage]
driver = "overlay"
graphroot = "$work/podman/graph"
runroot = "$work/podman/run"
CONFIG
export CONTAINERS_CONF=$work/podman/containers.conf CONTAINERS_STORAGE_CONF=$work/podman/storage.conf
podman() { command podman --tmpdir "$work/podman/tmp" "$@"; }
export -f podman
export work
image=local.test/busybox:latest

# podman_check NAME WANTED ARGUMENT...
podman_check() {
  local name=$1 wanted=$2
  shift 2
  check "$name" "$wanted" bash -c 'podman "$@"' podman "$@"
}

# run_check NAME WANTED [OPTION...] -- COMMAND...
run_check() {
  local name=$1 wanted=$2 options=(--cgroup-parent "/${work##*/}")
  shift 2
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  [[ ${options[*]} == *--network* ]] || options+=(--network none)
  podman_check "$name" "$wanted" run --rm "${options[@]}" "$image" "$@"
}

podman_check "image load" '0 *' load -q -i "$work/image.tar"
run_check "output" '0 hello' -- echo hello
run_check "exit code" '7 *' -- sh -c 'exit 7'
run_check "hostname, user, working directory, environment" '0 h1 1000 /tmp b' \
  --hostname h1 --user guest --workdir /tmp --env A=b -- sh -c 'echo $(hostname) $(id -u) $PWD $A'
run_check "read-only root" '1 *Read-only file system*' --read-only --read-only-tmpfs=false -- touch /x
run_check "tmpfs" '0 *' --tmpfs /scratch:size=1m -- sh -c 'grep -q "/scratch tmpfs.*size=1024k" /proc/mounts'
mkdir "$work/podman/shared" && echo below >"$work/podman/shared/file"
run_check "bind mount" '0 below' -v "$work/podman/shared:/mnt:ro" -- cat /mnt/file
run_check "read-only bind mount" '1 *Read-only file system*' -v "$work/podman/shared:/mnt:ro" -- touch /mnt/x
run_check "no capabilities" '0 *0000000000000000' --cap-drop all -- grep CapEff /proc/self/status
run_check "one capability" '0 *0000000000002000' --cap-drop all --cap-add net_raw -- grep CapEff /proc/self/status
run_check "seccomp filter" '0 *2' -- grep Seccomp: /proc/self/status
run_check "no filter" '0 *0' --security-opt seccomp=unconfined -- grep Seccomp: /proc/self/status
run_check "no new privileges" '0 *1' --security-opt no-new-privileges -- grep NoNewPrivs /proc/self/status
run_check "sysctl" '0 7' --sysctl net.ipv4.ip_default_ttl=7 -- cat /proc/sys/net/ipv4/ip_default_ttl
run_check "host network" '0 *lo*' --network host -- ls /sys/class/net
run_check "host pids" '0 *' --pid host -- sh -c '[ $$ != 1 ]'
run_check "user namespace" '0 *100000*' --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- cat /proc/self/uid_map
run_check "missing program" '127 *no such file or directory*' -- /nosuchprogram
run_check "missing in PATH" '127 *not found*' -- nosuchprogram
run_check "no program" '126 *' -- /etc
check "terminal" '0 */dev/pts/0*' script -qefc \
  "bash -c 'podman run --rm -t --network none --cgroup-parent /${work##*/} $image tty'" /dev/null
check "standard input" '0 typed' bash -c \
  "(echo typed; sleep 1) | podman run --rm -i --network none --cgroup-parent /${work##*/} $image cat"

podman_check "detached" '0 *' run -d --name long --network none --cgroup-parent "/${work##*/}" --memory 64m \
  "$image" sh -c 'trap "echo ended; exit 3" TERM; echo begun; while :; do sleep 0.1; done'
podman_check "running" '0 running' inspect --format '{{.State.Status}}' long
check "memory limit" '0 67108864' bash -c \
  "find /sys/fs/cgroup -path '*/${work##*/}/*/*' '(' -name memory.limit_in_bytes -o -name memory.max ')' -exec cat {} + 2>/dev/null | grep -x 67108864 | uniq"
podman_check "stop" '0 *' stop -t 20 long
podman_check "exit code of a stopped one" '0 exited 3' inspect --format '{{.State.Status}} {{.State.ExitCode}}' long
podman_check "logs" $'0 begun\nended' logs long
podman_check "start again" '0 long' start long
podman_check "kill" '0 long' kill -s KILL long
podman_check "wait" '0 137' wait long
podman_check "rm" '0 *' rm long
if criu check >/dev/null 2>&1; then
  podman_check "counting" '0 *' run -d --name counting --network none --cgroup-parent "/${work##*/}" "$image" \
    sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/tmp/count; sleep 0.1; done'
  counted() { [ "$(podman exec "$1" cat /tmp/count)" -gt "$2" ]; }
  wait_for counted counting 5
  podman_check "checkpoint" '0 *' container checkpoint counting
  podman_check "checkpointed" '0 exited true' inspect --format '{{.State.Status}} {{.State.Checkpointed}}' counting
  podman_check "restore" '0 *' container restore counting
  check "counting on" '0 ' wait_for counted counting 6
  podman_check "checkpoint to a file" '0 *' container checkpoint --export "$work/podman/saved.tar" counting
  podman_check "rm of what was saved" '0 *' rm counting
  podman_check "restore from a file" '0 *' container restore --import "$work/podman/saved.tar" --name again
  check "counting on elsewhere" '0 ' wait_for counted again 7
  podman_check "rm of what was restored" '0 *' rm -f -t 0 again
else
  skip "checkpoint" "criu is not installed, or does not work with this kernel"
fi
podman_check "create" '0 *' create --name later --network none --cgroup-parent "/${work##*/}" "$image" echo now
podman_check "start attached" '0 now' start -a later
podman_check "rm of all" '0 *' rm -a -f
held_containers
pods
kubernetes_pods
networks
podman_check "nothing left" '0 ' ps -a -q
rootless
