# Engines where systemd is the first process and cgroups are those of version 2 alone, as hack/guest has them. Sourced by
# hack/engines in the guest.
# shellcheck shell=bash disable=SC2034,SC2153,SC2154

. hack/engine/containerd/daemon.sh

slice=machine.slice
group() { cat "/sys/fs/cgroup/$slice/test-$1.scope/$2"; }                   # NAME FILE
unit() { systemctl show --property "$2" --value "test-$1.scope"; }          # NAME PROPERTY
no_group() { [ ! -e "/sys/fs/cgroup/$slice/test-$1.scope" ]; }              # NAME
events() { grep "\"container_id\":\"$1\"" "$work/events" | grep -o '/tasks/[a-z-]*' | tr '\n' ' '; } # TASK

# systemd makes the cgroup and knows its limits; what containerd says of it is true.
by_systemd() { # NAME OPTION...
  engine=$1
  local name=$2 runtime=("${@:3}")
  check "detached" '0 *' ctr run -d --cgroup "$slice:test:$name" --memory-limit 67108864 --cpus 0.5 "${runtime[@]}" "$image" "$name" sleep 600
  check "systemd has its scope" '0 active' systemctl is-active "test-$name.scope"
  check "with the limit of memory" '0 67108864' unit "$name" MemoryMax
  check "which is the kernel's" '0 67108864' group "$name" memory.max
  check "limit of processor time" '0 50000 100000' group "$name" cpu.max
  check "metrics" '0 *memory.usage_limit*67108864*' ctr tasks metrics "$name"
  check "exec" '3 there' ctr tasks exec --exec-id e1 "$name" sh -c 'echo there; exit 3'
  check "pause" '0 ' ctr tasks pause "$name"
  check "frozen" '0 *frozen 1*' group "$name" cgroup.events
  check "resume" '0 ' ctr tasks resume "$name"
  ctr tasks kill --signal SIGKILL "$name"
  wait_for status_is "$name" STOPPED
  check "task delete, with the exit code" '* *137*' ctr tasks rm "$name"
  check "its scope is gone" '0 ' wait_for no_group "$name"
  ctr containers rm "$name"
  ctr events >"$work/events" &
  local listener=$!
  wait_for test -e "$work/events"
  sleep 1
  ctr run -d --memory-limit 16777216 "${runtime[@]}" --cgroup "$slice:test:eater" "$image" eater sh -c 'tail /dev/zero; sleep 600'
  check "memory that ran out" '0 ' wait_for grep -q '/tasks/oom .*eater' "$work/events"
  ctr tasks kill --signal SIGKILL eater
  wait_for status_is eater STOPPED
  ctr tasks rm eater >/dev/null 2>&1
  ctr containers rm eater
  wait_for grep -q '/containers/delete .*eater' "$work/events"
  kill "$listener" && wait "$listener" 2>/dev/null
  check "was told of once it had, and the end once" '0 /tasks/create /tasks/start /tasks/oom /tasks/exit /tasks/delete ' events eater
  wait_for is_clean
  check "nothing is left" '0 ' left
}

below_podman() {
  engine="podman and systemd"
  printf '[engine]\nruntime = "under-test"\n[engine.runtimes]\nunder-test = ["%s"]\n[containers]\nlog_driver = "k8s-file"\n' \
    "$CORACLE" >/etc/containers/containers.conf
  check "image load" '0 *' podman load --quiet --input "$work/image.tar"
  check "detached" '0 *' podman run --detach --name long --network none --memory 64m "$image" sleep 600
  local id
  id=$(podman inspect --format '{{.Id}}' long)
  check "below the runtime under test, by systemd" '0 under-test true' podman inspect --format "{{.OCIRuntime}} $(podman info --format '{{eq .Host.CgroupManager "systemd"}}')" long
  check "limit of memory" '0 67108864' systemctl show --property MemoryMax --value "libpod-$id.scope"
  check "exec" '3 ' podman exec long sh -c 'exit 3'
  check "pause" '0 long' podman pause long
  check "unpause" '0 long' podman unpause long
  check "rm" '0 long' podman rm --force --time 0 long
  check "out of memory" '137 *' podman run --name eater --network none --memory 16m "$image" tail /dev/zero
  check "and said so" '0 true 137' podman inspect --format '{{.State.OOMKilled}} {{.State.ExitCode}}' eater
  check "rm of that" '0 eater' podman rm eater
  mkdir -p /etc/containers/systemd
  printf '[Container]\nContainerName=quadlet\nImage=%s\nExec=sleep 600\nNetwork=none\nPodmanArgs=--memory 32m\n[Service]\nRestart=always\n' \
    "$image" >/etc/containers/systemd/quadlet.container
  check "a quadlet" '0 ' systemctl daemon-reload
  check "is started" '0 ' systemctl start quadlet.service
  check "is active" '0 active' systemctl is-active quadlet.service
  check "with its limit" '0 33554432' podman exec quadlet cat /sys/fs/cgroup/memory.max
  check "is killed" '0 quadlet' podman kill quadlet
  check "and started again" '0 ' wait_for started_again quadlet.service
  check "is stopped" '0 ' systemctl stop quadlet.service
  check "is gone" '1 ' podman container exists quadlet
  podman create --name unit --network none --memory 32m "$image" sleep 600 >/dev/null
  check "a unit for a container" '0 *' generate unit
  check "which is started" '0 ' systemctl start container-unit.service
  check "which runs" '0 running' podman inspect --format '{{.State.Status}}' unit
  check "which is stopped" '0 ' systemctl stop container-unit.service
  check "and no longer runs" '0 exited' podman inspect --format '{{.State.Status}}' unit
  check "rm of its container" '0 unit' podman rm unit
  check "nothing left" '0 ' podman ps --all --quiet
}
started_again() { [ "$(systemctl show --property NRestarts --value "$1")" = 1 ] && systemctl --quiet is-active "$1"; } # UNIT
generate() { podman generate systemd --name "$1" >"/run/systemd/system/container-$1.service" && systemctl daemon-reload; } # NAME

engine="containerd and systemd"
start_containerd
check "image import" '0 *' ctr images import "$work/image.tar"
echo 'SystemdCgroup = true' >>"$work/runtime.toml"
by_systemd "containerd and systemd" theirs --runc-binary "$CORACLE" --runc-systemd-cgroup
[ -n "${PEER:-}" ] ||
  by_systemd "containerd and systemd with the shim" ours --runtime io.containerd.coracle.v2 --runtime-config-path "$work/runtime.toml"
stop_containerd TERM
type -P podman >/dev/null && below_podman
