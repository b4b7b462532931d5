# What only coracle's shim does, or does so. Sourced by containerd.sh.
# shellcheck shell=bash disable=SC2016,SC2154

# Its cgroup is one that somebody has made.
shim_cgroup() {
  local name=$CONTAINERD_NAMESPACE-shim root=/sys/fs/cgroup options=("${runtime[@]/runtime.toml/cgroup.toml}")
  [ -e "$root/cgroup.controllers" ] || root=$root/memory
  mkdir "$root/$name"
  { cat "$work/runtime.toml" && printf 'ShimCgroup = "/%s"\n' "$name"; } >"$work/cgroup.toml"
  ctr run -d "${options[@]}" "$image" grouped sleep 600
  check "ShimCgroup: the shim is there, and nothing else" "0 $(pgrep -f "containerd-shim.* -id grouped ")" cat "$root/$name/cgroup.procs"
  check "its container is where it belongs" "0 *:/$CONTAINERD_NAMESPACE/grouped*" cat "/proc/$(pid_of grouped)/cgroup"
  ctr tasks kill --signal SIGKILL grouped
  wait_for status_is grouped STOPPED
  ctr tasks rm grouped >/dev/null 2>&1
  ctr containers rm grouped
  wait_for rmdir "$root/$name"
  check "a cgroup that nobody made" "1 *there is none*" ctr run --rm "${options[@]}" "$image" ungrouped true
}

# What a container writes to a full disk it is told of, and what it makes of that is its exit code.
full_disk() {
  local full=$work/full
  mkdir "$full" && mount -t tmpfs -o size=64k,nr_inodes=2 full "$full"
  run_check "log to a disk that fills up" '1 *' --log-uri "file://$full/log" -- dd if=/dev/zero bs=1k count=100
  check "which holds what it had room for" '0 65536' stat -c %s "$full/log"
  run_check "no room for a log" '1 *no space left on device*' --log-uri "file://$full/other" -- echo lost
  rm "$full/log"
  run_check "log to a program whose disk fills up" '1 *' --log-uri "binary://$work/writer?$full/log" -- dd if=/dev/zero bs=1k count=1000
  check "which holds that, too" '0 65536' stat -c %s "$full/log"
  check "no task is left of all that" '0 ' no_task "c[0-9]*"
  umount "$full" && rmdir "$full"
}

# The runtime is killed while it makes containers: what there is of them afterwards is all or nothing.
killed_runtime() {
  local n
  for n in 1 2 3 4 5 6; do
    (
      for ((tries = 0; tries < 200; tries++)); do
        sleep "0.00$n" && pkill -KILL -f "^$CORACLE .* create .*killed$n$" && break
      done
    ) &
    local killer=$!
    # The container's process, which is still the same program, may be hit as well.
    check "create, killed" '@(0|1|137) *' ctr run --rm "${runtime[@]}" "$image" "killed$n" true
    wait "$killer"
    ctr containers rm "killed$n" 2>/dev/null
  done
}

# Of a shim that is killed after that, the exit code of its container is left.
lost_shim_later() {
  ctr events >"$work/later" &
  local listener=$!
  sleep 1
  ctr run -d "${runtime[@]}" "$image" later sh -c 'exit 6'
  wait_for status_is later STOPPED
  kill -KILL "$(pgrep -f "containerd-shim.* -id later ")"
  wait_for no_task later
  wait_for grep -q '/tasks/delete .*later' "$work/later"
  check "the exit code outlives the shim" '0 *"exit_status":6*' grep '/tasks/delete .*later' "$work/later"
  kill "$listener" && wait "$listener" 2>/dev/null
  ctr containers rm later
  rm -r /run/containerd/fifo/*
}

# containerd's own does none of it.
only_coracles() {
  killed_runtime
  lost_shim_later
  shim_cgroup
  full_disk
}

printf '#!/bin/sh\nexec 5>&-\nexec cat <&3 >"$1"\n' >"$work/writer" && chmod 755 "$work/writer"
