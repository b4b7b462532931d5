# dockerd, with a containerd of its own, and what the checks of docker.sh and swarm.sh say about it.
# shellcheck shell=bash disable=SC2034,SC2154

type -P docker dockerd containerd >/dev/null || { skip all "docker is not installed" && finish; }

mkdir -m 711 "$work/$engine"
export DOCKER_HOST=unix://$work/$engine.sock DOCKER_CONFIG=$work/$engine
image=local.test/busybox:latest

# One that goes on without dockerd cannot be of a swarm.
configure_docker() { # LIVE-RESTORE
  cat >"$work/$engine/daemon.json" <<CONFIG
{
  "data-root": "$work/$engine/data",
  "exec-root": "$work/$engine/exec",
  "pidfile": "$work/$engine/pid",
  "hosts": ["$DOCKER_HOST"],
  "bip": "172.31.240.1/24",
  "default-address-pools": [{ "base": "172.31.248.0/21", "size": 24 }],
  "cgroup-parent": "/${work##*/}",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "live-restore": $1,
  "default-runtime": "under-test",
  "runtimes": { "under-test": { "path": "$CORACLE" } }
}
CONFIG
}

start_docker() { # PATH
  PATH=$1 dockerd --config-file "$work/${engine%% *}/daemon.json" >>"$work/${engine%% *}/log" 2>&1 &
  daemon=$!
  wait_for docker version || { tail -n 20 "$work/${engine%% *}/log" && exit 1; }
  [ -n "$(docker images -q)" ] || check "image load" '0 *' docker load -i "$work/image.tar"
}

# run_check NAME WANTED [OPTION...] -- COMMAND...
run_check() {
  local name=$1 wanted=$2 options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  [[ ${options[*]} == *--net* ]] || options+=(--network none)
  check "$name" "$wanted" docker run --rm "${options[@]}" "$image" "$@"
}

inspect() { docker inspect --format "$2" "$1"; } # NAME TEMPLATE
is() { [ "$(inspect "$1" "$2")" = "$3" ]; }      # NAME TEMPLATE VALUE
no_shim() { ! pgrep -f '^[^ ]*containerd-shim'; }
# The program that is the shim of a container: what dockerd says of runtimes proves nothing.
shim_of() { readlink "/proc/$(pgrep -f "containerd-shim.* -id $(inspect "$1" '{{.Id}}') ")/exe"; }

# What a control file of this engine's containers says, in either version of cgroups.
limits() { # FILE...
  local file names=()
  for file in "$@"; do names+=(-o -name "$file"); done
  cgroups -path "*/${work##*/}/*/*" '(' "${names[@]:1}" ')' -exec cat {} + | sort -n
}

# The same checks below containerd's shim and below coracle's. This dockerd knows no other name of a shim than that of
# runc's.
with_both_shims() { # FUNCTION
  local name=$engine
  "$1" "$PATH" "$(readlink -f "$(type -P containerd-shim-runc-v2)")"
  [ -z "${PEER:-}" ] || return 0
  mkdir "$work/$name/bin" && ln -s "$SHIM" "$work/$name/bin/containerd-shim-runc-v2"
  engine="$name with the shim"
  "$1" "$work/$name/bin:$PATH" "$SHIM"
}
