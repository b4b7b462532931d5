# containerd and its command ctr: coracle below containerd's own shim, and below coracle's. Sourced by hack/engines.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153,SC2154

. hack/engine/containerd/daemon.sh
. hack/engine/containerd/shim.sh

short_tasks() {
  run_check "output" '0 hello' -- echo hello
  run_check "exit code" '7 *' -- sh -c 'exit 7'
  run_check "environment and working directory" '0 /tmp:b' --env A=b --cwd /tmp -- sh -c 'echo $PWD:$A'
  run_check "read-only root" '1 *Read-only file system*' --read-only -- touch /x
  run_check "host network" '0 *lo*' --net-host -- ls /sys/class/net
  run_check "privileged" '0 *CapEff*' --privileged -- grep CapEff /proc/self/status
  run_check "default seccomp" '0 *2' --seccomp -- sh -c 'grep Seccomp: /proc/self/status'
  run_check "bind mount" '0 below' --mount "type=bind,src=$work/shared,dst=/mnt,options=rbind:ro" -- cat /mnt/file
  run_check "missing program" '* *no such file or directory*' -- /nosuchprogram
  run_check "user namespace" '0 *100000*' --uidmap 0:100000:65536 --gidmap 0:100000:65536 --snapshotter native -- \
    cat /proc/self/uid_map
  run_check "log to a file" '0 ' --log-uri "file://$work/task.log" -- echo logged
  check "it is there" '0 logged' cat "$work/task.log"
  rm "$work/task.log"
  run_check "log to a program" '0 ' --log-uri "binary://$work/logger?to=$work/task.log" -- echo logged
  wait_for test -s "$work/task.log"
  check "it got it" "0 to $work/task.log c$number $CONTAINERD_NAMESPACE logged" cat "$work/task.log"
  rm "$work/task.log"
  check "terminal" '0 */dev/pts/0*' script -qefc "ctr run --rm -t ${runtime[*]} $image tty sh -c 'tty; sleep 0.5'" /dev/null
  check "standard input" '0 *typed' bash -c "(echo typed; sleep 1) | ctr run --rm ${runtime[*]} $image in cat"
  check "50 MB of output" '0 52428800' bash -c \
    "ctr run --rm ${runtime[*]} $image big dd if=/dev/zero bs=1M count=50 2>/dev/null | wc -c"
}

long_task() {
  check "detached" '0 *' ctr run -d --memory-limit 67108864 "${runtime[@]}" "$image" long sleep 600
  check "listed as running" '0 *long*RUNNING*' ctr tasks ls
  check "memory limit" '0 67108864' bash -c \
    "cat /sys/fs/cgroup/{memory/,}$CONTAINERD_NAMESPACE/long/memory.{limit_in_bytes,max} 2>/dev/null; true"
  check "exec" '3 there' ctr tasks exec --exec-id e1 long sh -c 'echo there; exit 3'
  check "exec with a terminal" '0 */dev/pts/0*' script -qefc "ctr tasks exec --exec-id e2 -t long sh -c 'tty; sleep 0.5'" /dev/null
  check "exec of what is not there" '* *no such file or directory*' ctr tasks exec --exec-id e3 long /nosuchprogram
  check "processes" '0 *PID*' ctr tasks ps long
  check "metrics" '0 *memory.limit_in_bytes*67108864*' ctr tasks metrics long
  check "pause" '0 ' ctr tasks pause long
  check "listed as paused" '0 *long*PAUSED*' ctr tasks ls
  check "resume" '0 ' ctr tasks resume long
  check "a running task is not deleted" '1 *' ctr tasks rm long
  stop_containerd KILL
  start_containerd
  check "running after containerd was killed" '0 *long*RUNNING*' ctr tasks ls
  check "exec after that" '0 again' ctr tasks exec --exec-id e4 long echo again
  check "kill" '0 *' ctr tasks kill --signal SIGKILL long
  wait_for status_is long STOPPED
  check "task delete, with the exit code" '* *137*' ctr tasks rm long
  check "no task is left" '0 *PID*STATUS*' ctr tasks ls
  check "container delete" '0 *' ctr containers rm long
}

event_order() {
  ctr events >"$work/events" &
  local listener=$!
  wait_for test -e "$work/events"
  sleep 1
  ctr run --rm "${runtime[@]}" --memory-limit 16777216 "$image" eater sh -c 'head -c 64m /dev/zero | tail' >/dev/null 2>&1
  ctr run -d "${runtime[@]}" "$image" told sleep 600
  ctr tasks exec --exec-id e1 told true
  ctr tasks pause told && ctr tasks resume told
  ctr tasks kill --signal SIGKILL told && wait_for status_is told STOPPED
  ctr tasks rm told >/dev/null 2>&1
  ctr containers rm told
  wait_for grep -q '/containers/delete .*told' "$work/events"
  kill "$listener" && wait "$listener" 2>/dev/null
  topics() { grep "\"container_id\":\"$1\"" "$work/events" | grep -o '/tasks/[a-z-]*' | tr '\n' ' '; }
  check "events of a task, in order" '0 /tasks/create /tasks/start /tasks/exec-added /tasks/exec-started /tasks/exit /tasks/paused /tasks/resumed /tasks/exit /tasks/delete ' topics told
  check "memory that ran out, before the end" '0 /tasks/create /tasks/start */tasks/oom */tasks/exit /tasks/delete ' topics eater
}

# Containers of one pod have one shim, which ends with the last of them.
pod() {
  local group=(--annotation io.kubernetes.cri.sandbox-id=pod)
  ctr run -d "${runtime[@]}" "${group[@]}" "$image" pod sleep 600
  ctr run -d "${runtime[@]}" "${group[@]}" --with-ns "pid:/proc/$(pid_of pod)/ns/pid" "$image" member sleep 600
  check "one shim for a pod" '0 1' pgrep -fc '^[^ ]*containerd-shim'
  check "which knows both" '0 *member*RUNNING*' ctr tasks ls
  ctr tasks exec -d --exec-id e1 member sleep 601
  ctr tasks kill --signal SIGKILL member
  wait_for status_is member STOPPED
  check "what was added ends with a container in the pid namespace of another" '0 ' wait_for no_process '^sleep 601'
  ctr tasks rm member >/dev/null 2>&1
  check "the other one goes on" '0 still' ctr tasks exec --exec-id e2 pod echo still
  ctr tasks kill --signal SIGKILL pod
  wait_for status_is pod STOPPED
  ctr tasks rm pod >/dev/null 2>&1
  check "delete both" '0 *' ctr containers rm member pod
}

# Many at once: exit codes, and one event for each end.
many() {
  local count=${TASKS:-100} PATIENCE=$((PATIENCE + ${TASKS:-0}))
  ctr events >"$work/many" &
  local listener=$!
  sleep 1
  export image
  check "$count tasks, 50 at a time, and their exit codes" '0 ' bash -c "seq $count | xargs -P 50 -I{} bash -c '
    ctr run --rm ${runtime[*]} \$image many{} sh -c \"exit \$(({} % 200))\" >/dev/null 2>&1; [ \$? = \$(({} % 200)) ] || echo {}: wrong'"
  sleep 1
  kill "$listener" && wait "$listener" 2>/dev/null
  local topic
  for topic in create start exit delete; do
    check "one event for each $topic" "0 $count" events_of "$topic" "$work/many"
    check "and no two for one" "0 $count" distinct_events_of "$topic" "$work/many"
  done
}

events_of() { grep -c "/tasks/$1 " "$2"; } # TOPIC FILE
distinct_events_of() { grep "/tasks/$1 " "$2" | grep -o '"container_id":"[^"]*"' | sort -u | wc -l; }

# What ends while containerd is away has ended with its own exit code.
ended_meanwhile() {
  ctr run -d "${runtime[@]}" "$image" meanwhile sh -c 'sleep 1; exit 9'
  stop_containerd KILL
  wait_for no_process 'sleep 1; exit 9'
  start_containerd
  check "ended while containerd was away" '0 *meanwhile*STOPPED*' ctr tasks ls
  check "with its exit code" '* *code 9*' ctr tasks rm meanwhile
  ctr containers rm meanwhile
}

checkpointed() {
  criu check >/dev/null 2>&1 || { skip "checkpoint and restore" "criu is not installed, or does not work with this kernel" && return; }
  ctr run -d "${runtime[@]}" "$image" saved sh -c 'while :; do echo >>/tmp/lines; sleep 0.1; done'
  check "checkpoint" '0 ' ctr containers checkpoint --rw --image --task saved local.test/saved:latest
  ctr tasks kill --signal SIGKILL saved
  wait_for status_is saved STOPPED
  ctr tasks rm saved >/dev/null 2>&1
  ctr containers rm saved
  check "restore" '0 ' ctr containers restore --rw --live restored local.test/saved:latest
  check "it goes on" '0 *restored*RUNNING*' ctr tasks ls
  check "with what it had written" '0 ' ctr tasks exec --exec-id e1 restored test -s /tmp/lines
  ctr tasks kill --signal SIGKILL restored
  wait_for status_is restored STOPPED
  ctr tasks rm restored >/dev/null 2>&1
  ctr containers rm restored
  ctr images rm local.test/saved:latest >/dev/null
}

lost_shim() {
  ctr run -d "${runtime[@]}" "$image" lost sleep 600
  local shim
  shim=$(pgrep -f "containerd-shim.* -id lost ")
  check "kill the shim" '0 ' kill -KILL "$shim"
  check "its task is gone" '0 ' wait_for no_task lost
  check "the container ended with it" '0 ' wait_for no_process '^sleep 600'
  check "its container can be deleted" '0 *' ctr containers rm lost
  # The client's, which cannot delete a task that is gone.
  rm -r /run/containerd/fifo/*
  # containerd's own shim forgets this one.
  [[ ${runtime[*]} == *coracle.v2* ]] || rm /run/containerd/s/*
}

all_checks() { # NAME OPTION...
  engine=$1
  runtime=("${@:2}")
  short_tasks
  long_task
  event_order
  pod
  ended_meanwhile
  checkpointed
  [[ ${runtime[*]} != *coracle.v2* ]] || only_coracles
  many
  lost_shim
  wait_for is_clean
  check "nothing is left" '0 ' left
}

mkdir -p "$work/shared" && echo below >"$work/shared/file"
cat >"$work/logger" <<'LOGGER'
#!/bin/sh
trap '' TERM
exec 5>&-
echo "$1 $2 $CONTAINER_ID $CONTAINER_NAMESPACE $(cat <&3)" >"$2"
LOGGER
chmod 755 "$work/logger"

start_containerd
check "image import" '0 *' ctr images import "$work/image.tar"
all_checks "containerd" --runc-binary "$CORACLE"
[ -n "${PEER:-}" ] || all_checks "containerd with the shim" --runtime io.containerd.coracle.v2 --runtime-config-path "$work/runtime.toml"
stop_containerd TERM
