# dockerd with its own containerd, and the docker command: coracle below containerd's own shim, and below coracle's.
# Sourced by hack/engines.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153,SC2154

type -P docker dockerd containerd >/dev/null || { skip all "docker is not installed" && finish; }

mkdir -m 711 "$work/docker"
cat >"$work/docker/daemon.json" <<CONFIG
{
  "data-root": "$work/docker/data",
  "exec-root": "$work/docker/exec",
  "pidfile": "$work/docker/pid",
  "hosts": ["unix://$work/docker.sock"],
  "bridge": "none",
  "iptables": false,
  "cgroup-parent": "/${work##*/}",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "live-restore": true,
  "default-runtime": "under-test",
  "runtimes": { "under-test": { "path": "$CORACLE" } }
}
CONFIG
export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/docker

start_docker() { # PATH
  PATH=$1 dockerd --config-file "$work/docker/daemon.json" >>"$work/docker/log" 2>&1 &
  daemon=$!
  wait_for docker version || { tail -n 20 "$work/docker/log" && exit 1; }
}

image=local.test/busybox:latest

# run_check NAME WANTED [OPTION...] -- COMMAND...
run_check() {
  local name=$1 wanted=$2 options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  [[ ${options[*]} == *--network* ]] || options+=(--network none)
  check "$name" "$wanted" docker run --rm "${options[@]}" "$image" "$@"
}

stopped_after() { [ "$(docker inspect --format '{{.RestartCount}} {{.State.Running}}' "$1")" = "$2 false" ]; } # NAME TIMES
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }
no_shim() { ! pgrep -f '^[^ ]*containerd-shim'; }
out_of_memory() {
  docker run --name eater --network none --memory 16m --memory-swap 16m "$image" tail /dev/zero
  docker inspect --format '{{.State.OOMKilled}} {{.State.ExitCode}}' eater
  docker rm eater >/dev/null
}
# The program that is the shim of a container: what dockerd says of runtimes proves nothing.
shim_of() {
  local id
  id=$(docker inspect --format '{{.Id}}' "$1")
  readlink "/proc/$(pgrep -f "containerd-shim.* -id $id ")/exe"
}

short_containers() {
  check "the runtime is the one under test" '0 under-test' docker info --format '{{.DefaultRuntime}}'
  run_check "output" '0 hello' -- echo hello
  run_check "exit code" '7 *' -- sh -c 'exit 7'
  run_check "hostname, user, working directory, environment" '0 h1 1000 /tmp b' \
    --hostname h1 --user guest --workdir /tmp --env A=b -- sh -c 'echo $(hostname) $(id -u) $PWD $A'
  run_check "read-only root" '1 *Read-only file system*' --read-only -- touch /x
  run_check "tmpfs" '0 *' --tmpfs /scratch:size=1m -- sh -c 'grep -q "/scratch tmpfs.*size=1024k" /proc/mounts'
  mkdir -p "$work/docker/shared" && echo below >"$work/docker/shared/file"
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
  run_check "init process" '0 *' --init -- true
  run_check "missing program" '127 *no such file or directory*' -- /nosuchprogram
  run_check "missing in PATH" '127 *executable file not found in $PATH*' -- nosuchprogram
  run_check "no program" '126 *' -- /etc
  run_check "out of memory" '137 *' --memory 16m --memory-swap 16m -- sh -c 'tail /dev/zero'
  check "terminal" '0 */dev/pts/0*' script -qefc "docker run --rm -it --network none $image tty" /dev/null
  check "standard input" '0 typed' bash -c "(echo typed; sleep 1) | docker run --rm -i --network none $image cat"
  check "50 MB of output" '0 52428800' bash -c \
    "docker run --rm --network none '$image' dd if=/dev/zero bs=1M count=50 2>/dev/null | wc -c"
}

long_containers() { # PATH SHIM
  local path=$1 wanted_shim=$2
  check "detached" '0 *' docker run -d --name long --network none --memory 64m --pids-limit 40 "$image" \
    sh -c 'trap "echo ended; exit 3" TERM; echo begun; while :; do sleep 0.1; done'
  check "running" '0 running' docker inspect --format '{{.State.Status}}' long
  check "limits" $'0 40\n67108864' bash -c \
    "find /sys/fs/cgroup -path '*/${work##*/}/*/*' '(' -name memory.limit_in_bytes -o -name memory.max -o -name pids.max ')' -exec cat {} + | sort -n"
  check "which shim" "0 $wanted_shim" shim_of long
  check "exec" '5 1000' docker exec -u guest long sh -c 'id -u; exit 5'
  check "exec with a terminal" '0 */dev/pts/0*' script -qefc "docker exec -it long tty" /dev/null
  check "exec of what is not there" '* *no such file or directory*' docker exec long /nosuchprogram
  check "exec, detached" '0 ' docker exec -d long sh -c 'echo deed >/tmp/deed'
  check "processes" '0 *PID*trap*' docker top long
  check "what is used" '0 *64MiB*' docker stats --no-stream --format '{{.MemUsage}}' long
  check "update" '0 long' docker update --memory 32m --memory-swap 64m long
  check "updated" '0 *32MiB*' docker stats --no-stream --format '{{.MemUsage}}' long
  check "pause" '0 long' docker pause long
  check "paused" '0 paused' docker inspect --format '{{.State.Status}}' long
  check "unpause" '0 long' docker unpause long
  check "what an exec wrote" '0 *C /tmp*A /tmp/deed*' docker diff long
  kill -KILL "$daemon"; wait "$daemon" 2>/dev/null
  rm -f "$work/docker/pid" "$work/docker/exec/containerd/containerd.pid"
  start_docker "$path"
  check "running after dockerd was killed" '0 running' docker inspect --format '{{.State.Status}}' long
  check "exec after that" '0 again' docker exec long echo again
  check "stop" '0 long' docker stop -t 20 long
  check "exit code of a stopped one" '0 exited 3' docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' long
  check "logs" $'0 begun\nended' docker logs long
  check "start again" '0 long' docker start long
  check "kill" '0 long' docker kill -s KILL long
  check "wait" '0 137' docker wait long
  check "rm" '0 long' docker rm long
  check "create" '0 *' docker create --name later --network none "$image" echo now
  check "start attached" '0 now' docker start -a later
  check "rm again" '0 later' docker rm -f later
  check "restarted on failure" '0 *' docker run -d --name again --network none --restart on-failure:2 "$image" false
  wait_for stopped_after again 2
  check "twice" '0 2 1' docker inspect --format '{{.RestartCount}} {{.State.ExitCode}}' again
  check "rm that too" '0 again' docker rm again
  check "health" '0 *' docker run -d --name well --network none --health-cmd true --health-interval 1s "$image" sleep 600
  wait_for healthy well
  check "healthy" '0 healthy' docker inspect --format '{{.State.Health.Status}}' well
  check "kill and rm" '0 well' docker rm -f well
  check "out of memory, and said so" '0 true 137' out_of_memory
  check "nothing left" '0 ' docker ps -a -q
  wait_for no_shim
  check "no shim is left" '1 ' pgrep -af '^[^ ]*containerd-shim'
}

all_checks() { # NAME PATH SHIM
  engine=$1
  start_docker "$2"
  [ -n "$(docker images -q)" ] || check "image load" '0 *' docker load -i "$work/image.tar"
  short_containers
  long_containers "$2" "$3"
  kill "$daemon" && wait "$daemon" 2>/dev/null
}

all_checks "docker" "$PATH" "$(readlink -f "$(type -P containerd-shim-runc-v2)")"
# This dockerd knows no other name of a shim than that of runc's.
mkdir "$work/docker/bin" && ln -s "$SHIM" "$work/docker/bin/containerd-shim-runc-v2"
all_checks "docker with the shim" "$work/docker/bin:$PATH" "$SHIM"
