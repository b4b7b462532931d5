# Docker: coracle below containerd's own shim, and below coracle's. Sourced by hack/engines.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153,SC2154

. hack/engine/docker/daemon.sh
. hack/engine/docker/images.sh
. hack/engine/docker/networks.sh
# shellcheck source=/dev/null
. hack/engine/docker/parity.sh
configure_docker true

stopped_after() { is "$1" '{{.RestartCount}} {{.State.Running}}' "$2 false"; } # NAME TIMES
restarted() { [ "$(inspect "$1" '{{.RestartCount}}')" -ge 2 ]; }
out_of_memory() {
  docker run --name eater --network none --memory 16m --memory-swap 16m "$image" tail /dev/zero
  inspect eater '{{.State.OOMKilled}} {{.State.ExitCode}}'
  docker rm eater >/dev/null
}

short_containers() {
  check "the runtime is the one under test" '0 under-test' docker info --format '{{.DefaultRuntime}}'
  run_check "output" '0 hello' -- echo hello
  run_check "exit code" '7 *' -- sh -c 'exit 7'
  run_check "hostname, user, working directory, environment" '0 h1 1000 /tmp b' \
    --hostname h1 --user guest --workdir /tmp --env A=b -- sh -c 'echo $(hostname) $(id -u) $PWD $A'
  run_check "read-only root" '1 *Read-only file system*' --read-only -- touch /x
  run_check "tmpfs" '0 *' --tmpfs /scratch:size=1m -- sh -c 'grep -q "/scratch tmpfs.*size=1024k" /proc/mounts'
  run_check "bind mount" '0 below' -v "$work/docker/shared:/mnt:ro" -- cat /mnt/file
  run_check "read-only bind mount" '1 *Read-only file system*' -v "$work/docker/shared:/mnt:ro" -- touch /mnt/x
  run_check "slave bind mount" '0 below' -v "$work/docker/shared:/mnt:rslave" -- cat /mnt/file
  run_check "no capabilities" '0 *0000000000000000' --cap-drop all -- grep CapEff /proc/self/status
  run_check "one capability" '0 *0000000000002000' --cap-drop all --cap-add net_raw -- grep CapEff /proc/self/status
  run_check "seccomp filter" '0 *2' -- grep Seccomp: /proc/self/status
  run_check "no filter" '0 *0' --security-opt seccomp=unconfined -- grep Seccomp: /proc/self/status
  run_check "no new privileges" '0 *1' --security-opt no-new-privileges -- grep NoNewPrivs /proc/self/status
  run_check "masked path" '0 0' -- sh -c 'cat /proc/timer_list | wc -c'
  run_check "sysctl" '0 7' --sysctl net.ipv4.ip_default_ttl=7 -- cat /proc/sys/net/ipv4/ip_default_ttl
  run_check "host network" '0 *lo*' --network host -- ls /sys/class/net
  run_check "host pids" '0 *' --pid host -- sh -c '[ $$ != 1 ]'
  run_check "device" '0 *crw*' --device /dev/null:/dev/other -- ls -l /dev/other
  run_check "init process" '0 docker-init' --init -- cat /proc/1/comm
  run_check "which hands on signals and exit codes" '143 ' --init -- sh -c 'kill -TERM 1; sleep 600'
  run_check "rlimit" '0 100 200' --ulimit nofile=100:200 -- sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)'
  run_check "size of /dev/shm" '0 *size=2048k*' --shm-size 2m -- grep ' /dev/shm ' /proc/mounts
  run_check "further groups" '0 0 7 8' --group-add 7 --group-add 8 -- id -G
  run_check "user and group by number" '0 7:8' --user 7:8 -- sh -c 'echo $(id -u):$(id -g)'
  run_check "entry point" '0 a b' --entrypoint echo -- a b
  run_check "score of the memory killer" '0 100' --oom-score-adj 100 -- cat /proc/self/oom_score_adj
  run_check "rule for a device" '0 opened' --device-cgroup-rule 'c 10:229 rwm' -- sh -c 'mknod /f c 10 229 && : </f && echo opened'
  run_check "no rule for a device" '1 *peration not permitted*' -- sh -c 'mknod /f c 10 229 && : </f'
  run_check "nothing masked" '0 ' --security-opt systempaths=unconfined -- sh -c '! grep -q " /proc/" /proc/mounts'
  run_check "profile of seccomp's" '1 *peration not permitted*' --security-opt "seccomp=$work/docker/seccomp.json" -- mkdir /x
  if ((0x$(sed -n 's/^CapBnd:.//p' /proc/self/status) >> 24 & 1)); then
    run_check "privileged" '0 ' --privileged -- mount -t tmpfs t /tmp
  else
    skip "privileged" "this machine lacks CAP_SYS_RESOURCE, which dockerd asks for"
  fi
  run_check "missing program" '127 *no such file or directory*' -- /nosuchprogram
  run_check "missing in PATH" '127 *executable file not found in $PATH*' -- nosuchprogram
  run_check "no program" '126 *' -- /etc
  run_check "out of memory" '137 *' --memory 16m --memory-swap 16m -- sh -c 'tail /dev/zero'
  check "terminal" '0 */dev/pts/0*' script -qefc "docker run --rm -it --network none $image tty" /dev/null
  check "standard input" '0 typed' bash -c "(echo typed; sleep 1) | docker run --rm -i --network none $image cat"
  check "50 MB of output" '0 52428800' bash -c \
    "docker run --rm --network none '$image' dd if=/dev/zero bs=1M count=50 2>/dev/null | wc -c"
}

# Its terminal gets the size of the caller's, and the keys come when it says so.
detached_by_keys() {
  { wait_for said left 'as told' && printf xy; } |
    script -qefc "stty rows 11 cols 22; docker run -it --name left --network none --detach-keys x,y $image sh -c '
      until [ \"\$(stty size)\" = \"11 22\" ]; do sleep 0.1; done; echo as told; exec cat'" /dev/null
}
said() { docker logs "$1" 2>&1 | grep -q "$2"; } # NAME TEXT

# Input goes on until the answer to it has come.
attached() {
  local line pid
  coproc ATTACH { docker attach waiting; }
  pid=$ATTACH_PID
  echo this >&"${ATTACH[1]}"
  read -r -t 30 line <&"${ATTACH[0]}"
  echo "$line"
  echo >&"${ATTACH[1]}"
  wait "$pid"
}

interactive() {
  check "waiting for input" '0 *' docker run -d -i --name waiting --network none "$image" \
    sh -c 'read line; echo "got $line"; read line; exit 4'
  check "attach" '4 got this' attached
  check "logs of what was attached to" '0 got this' docker logs waiting
  check "rm of it" '0 waiting' docker rm waiting
  check "detach by keys" '0 *' detached_by_keys
  check "what was detached from runs" '0 running' inspect left '{{.State.Status}}'
  check "resized" '0 *as told*' docker logs left
  check "rm of what was detached from" '0 left' docker rm -f left
}

long_container() { # PATH SHIM
  local path=$1 wanted_shim=$2
  check "detached" '0 *' docker run -d --name long --network none --memory 64m --pids-limit 40 --cpus 0.5 --cpuset-cpus 0 \
    --cpu-shares 512 --label of=long "$image" sh -c 'trap "echo ended; exit 3" TERM; echo begun; while :; do sleep 0.1; done'
  check "running" '0 running' inspect long '{{.State.Status}}'
  check "limit of memory" '0 67108864' limits memory.limit_in_bytes memory.max
  check "limit of processes" '0 40' limits pids.max
  check "limit of processor time" '0 50000*' limits cpu.cfs_quota_us cpu.max
  check "processors" '0 0' limits cpuset.cpus
  check "which shim" "0 $wanted_shim" shim_of long
  check "exec" '5 1000' docker exec -u guest long sh -c 'id -u; exit 5'
  check "exec with a terminal" '0 */dev/pts/0*' script -qefc "docker exec -it long tty" /dev/null
  check "exec with standard input" '0 typed' bash -c 'echo typed | docker exec -i long cat'
  check "exec with environment and working directory" '0 /tmp b' docker exec -e A=b -w /tmp long sh -c 'echo $PWD $A'
  check "exec of what is not there" '* *no such file or directory*' docker exec long /nosuchprogram
  check "exec, detached" '0 ' docker exec -d long sh -c 'echo deed >/tmp/deed'
  check "which did it" '0 ' wait_for docker exec long test -s /tmp/deed
  check "processes" '0 *PID*trap*' docker top long
  check "what is used" '0 *64MiB*' docker stats --no-stream --format '{{.MemUsage}}' long
  check "update" '0 long' docker update --memory 32m --memory-swap 64m --cpus 0.25 long
  check "updated" '0 *32MiB*' docker stats --no-stream --format '{{.MemUsage}}' long
  check "updated processor time" '0 25000*' limits cpu.cfs_quota_us cpu.max
  check "pause" '0 long' docker pause long
  check "paused" '0 paused' inspect long '{{.State.Status}}'
  check "unpause" '0 long' docker unpause long
  check "what an exec wrote" '0 *C /tmp*A /tmp/deed*' docker diff long
  kill -KILL "$daemon"; wait "$daemon" 2>/dev/null
  rm -f "$work/docker/pid" "$work/docker/exec/containerd/containerd.pid"
  start_docker "$path"
  check "live-restore: running after dockerd was killed" '0 running' inspect long '{{.State.Status}}'
  check "exec after that" '0 again' docker exec long echo again
  check "stop" '0 long' docker stop -t 20 long
  check "exit code of a stopped one" '0 exited 3' inspect long '{{.State.Status}} {{.State.ExitCode}}'
  check "logs" $'0 begun\nended' docker logs long
  check "start again" '0 long' docker start long
  check "restart" '0 long' docker restart -t 20 long
  check "the last lines" '0 begun' docker logs --tail 1 long
  check "logs, followed" $'0 begun\nended\nbegun\nended\nbegun' bash -c 'docker logs -f long & docker kill -s KILL long >/dev/null; wait'
  check "wait" '0 137' docker wait long
  check "rename" '0 ' docker rename long longer
  check "rm" '0 longer' docker rm longer
}

policies() {
  check "create" '0 *' docker create --name later --network none "$image" echo now
  check "start attached" '0 now' docker start -a later
  check "rm again" '0 later' docker rm -f later
  check "restarted on failure" '0 *' docker run -d --name again --network none --restart on-failure:2 "$image" false
  wait_for stopped_after again 2
  check "twice" '0 2 1' inspect again '{{.RestartCount}} {{.State.ExitCode}}'
  check "rm that too" '0 again' docker rm again
  check "restarted always" '0 *' docker run -d --name always --network none --restart always "$image" true
  check "more than once" '0 ' wait_for restarted always
  check "rm of what is always restarted" '0 always' docker rm -f always
  check "health" '0 *' docker run -d --name well --network none --health-cmd 'test ! -e /ill' --health-interval 1s \
    --health-retries 1 "$image" sleep 600
  check "healthy" '0 ' wait_for is well '{{.State.Health.Status}}' healthy
  check "falling ill" '0 ' docker exec well touch /ill
  check "unhealthy" '0 ' wait_for is well '{{.State.Health.Status}}' unhealthy
  check "kill and rm" '0 well' docker rm -f well
  check "out of memory, and said so" '0 true 137' out_of_memory
}

all_checks() { # PATH SHIM
  start_docker "$1"
  short_containers
  interactive
  long_container "$1" "$2"
  policies
  volumes
  made_images
  parity
  shared_namespaces
  networks
  composed
  check "nothing left" '0 ' docker ps -a -q
  wait_for no_shim
  check "no shim is left" '1 ' pgrep -af '^[^ ]*containerd-shim'
  kill "$daemon" && wait "$daemon" 2>/dev/null
}

mkdir -p "$work/docker/shared" && echo below >"$work/docker/shared/file"
echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}' \
  >"$work/docker/seccomp.json"
with_both_shims all_checks
