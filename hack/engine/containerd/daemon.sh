# containerd, and what the checks of containerd.sh and guest.sh say about it.
# shellcheck shell=bash disable=SC2034,SC2153,SC2154

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
# What the CRI plugin sends, too: options as a text.
printf 'BinaryName = "%s"\n' "$CORACLE" >"$work/runtime.toml"
export CONTAINERD_ADDRESS=$work/containerd.sock CONTAINERD_NAMESPACE=${work##*/}
image=local.test/busybox:latest

start_containerd() {
  # The shim is found on containerd's path.
  PATH=${SHIM%/*}:$PATH containerd --config "$work/containerd.toml" >>"$work/containerd.log" 2>&1 &
  daemon=$!
  wait_for ctr version || { cat "$work/containerd.log" && exit 1; }
}

stop_containerd() { # SIGNAL
  kill "-$1" "$daemon" && wait "$daemon" 2>/dev/null
}

number=0
run_check() { # NAME WANTED [OPTION...] -- COMMAND...
  local name=$1 wanted=$2 options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  number=$((number + 1))
  check "$name" "$wanted" ctr run --rm "${runtime[@]}" "${options[@]}" "$image" "c$number" "$@"
}

status_is() { ctr tasks ls | grep -q "^$1 .*$2"; } # TASK STATUS

pid_of() { ctr tasks ls | awk -v name="$1" '$1 == name { print $2 }'; } # TASK

no_process() { ! pgrep -f "$1"; } # PATTERN
no_task() { ! ctr tasks ls | grep -q "^$1 "; } # TASK

# What was made for tasks and is still there: processes, sockets, pipes, mounts, bundles, cgroups.
left() {
  pgrep -af '^[^ ]*containerd-shim'
  find /run/containerd/s /run/containerd/fifo -type s -o -type p
  grep -o "$work/containerd/state[^ ]*" /proc/self/mountinfo
  find "$work/containerd/state" -path "*.task/$CONTAINERD_NAMESPACE/*" -prune
  cgroups -path "*/$CONTAINERD_NAMESPACE/*" -type d
  true
}

is_clean() { [ -z "$(left)" ]; }
