# containerd and its command ctr: the shim of runc with another binary. Sourced by hack/engines.
# shellcheck shell=bash disable=SC2154,SC2016

type -P containerd ctr >/dev/null || { skip all "containerd is not installed" && finish; }

mkdir -m 711 "$work/containerd"
cat >"$work/containerd.toml" <<CONFIG
version = 2
root = "$work/containerd/root"
state = "$work/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/containerd.sock"
[ttrpc]
  address = "$work/containerd.ttrpc"
CONFIG
containerd --config "$work/containerd.toml" >"$work/containerd.log" 2>&1 &
daemon=$!
export CONTAINERD_ADDRESS=$work/containerd.sock CONTAINERD_NAMESPACE=${work##*/}
wait_for ctr version || { cat "$work/containerd.log" && exit 1; }
image=local.test/busybox:latest
check "image import" '0 *' ctr images import "$work/image.tar"

number=0
run_check() { # NAME WANTED [OPTION...] -- COMMAND...
  local name=$1 wanted=$2 options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  number=$((number + 1))
  check "$name" "$wanted" ctr run --rm --runc-binary "$CORACLE" "${options[@]}" "$image" "c$number" "$@"
}

run_check "output" '0 hello' -- echo hello
run_check "exit code" '7 *' -- sh -c 'exit 7'
run_check "environment and working directory" '0 /tmp:b' --env A=b --cwd /tmp -- sh -c 'echo $PWD:$A'
run_check "read-only root" '1 *Read-only file system*' --read-only -- touch /x
run_check "host network" '0 *lo*' --net-host -- ls /sys/class/net
run_check "privileged" '0 *CapEff*' --privileged -- grep CapEff /proc/self/status
run_check "default seccomp" '0 *2' --seccomp -- sh -c 'grep Seccomp: /proc/self/status'
mkdir "$work/shared" && echo below >"$work/shared/file"
run_check "bind mount" '0 below' --mount "type=bind,src=$work/shared,dst=/mnt,options=rbind:ro" -- cat /mnt/file
run_check "missing program" '* *no such file or directory*' -- /nosuchprogram
run_check "user namespace" '0 *100000*' --uidmap 0:100000:65536 --gidmap 0:100000:65536 --snapshotter native -- \
  cat /proc/self/uid_map
check "terminal" '0 */dev/pts/0*' script -qefc "ctr run --rm -t --runc-binary '$CORACLE' $image tty tty" /dev/null
check "50 MB of output" '0 52428800' bash -c \
  "ctr run --rm --runc-binary '$CORACLE' '$image' big dd if=/dev/zero bs=1M count=50 2>/dev/null | wc -c"

check "detached" '0 *' ctr run -d --memory-limit 67108864 --runc-binary "$CORACLE" "$image" long sleep 600
check "listed as running" '0 *long*RUNNING*' ctr tasks ls
check "memory limit" '0 67108864' bash -c \
  "cat /sys/fs/cgroup/{memory/,}$CONTAINERD_NAMESPACE/long/memory.{limit_in_bytes,max} 2>/dev/null; true"
check "kill" '0 *' ctr tasks kill --signal SIGKILL long
stopped() { ctr tasks ls | grep -q 'long.*STOPPED'; }
wait_for stopped
check "task delete" '* *' ctr tasks rm long
check "no task is left" '0 *PID*STATUS*' ctr tasks ls
check "container delete" '0 *' ctr containers rm long

kill "$daemon" && wait "$daemon" 2>/dev/null
