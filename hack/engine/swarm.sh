# A swarm of one machine, whose services run below coracle as dockerd's default runtime. Sourced by hack/engines.
# shellcheck shell=bash disable=SC2016,SC2154

. hack/engine/docker/daemon.sh
configure_docker false

# A service's tasks: how many of its containers run a command.
running() { [ "$(docker ps -q --filter "label=com.docker.swarm.service.name=$1" | wc -l)" = "$2" ]; } # SERVICE COUNT
running_command() { [ "$(docker ps --no-trunc --filter "label=com.docker.swarm.service.name=$1" | grep -c "\"$2\"")" = "$3" ]; }
container_of() { docker ps -q --filter "label=com.docker.swarm.service.name=$1" | head -n 1; } # SERVICE
inside_of() { docker exec "$(container_of "$1")" "${@:2}"; }                                # SERVICE COMMAND...
another_than() { [ -n "$(container_of "$1")" ] && [ "$(container_of "$1")" != "$2" ]; }      # SERVICE CONTAINER
page() { busybox wget -q -O - http://127.0.0.1:8081/word; }
serves_word() { page | grep -q kept; }

service() { # NAME OPTION... -- COMMAND...
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  # Networks of a swarm need IPVS, which a kernel may lack: the machine's, or none.
  docker service create --quiet --detach --no-resolve-image --name "$name" "${options[@]}" "$image" "$@"
}

services() {
  check "swarm init" '0 *' docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1
  check "service with two replicas" '0 *' service two --network host --replicas 2 --stop-grace-period 1s \
    --limit-memory 64m --update-delay 1s -- sleep 600
  check "both run" '0 ' wait_for running two 2
  check "below the runtime under test" '0 under-test' inspect "$(container_of two)" '{{.HostConfig.Runtime}}'
  check "with limits" '0 67108864*' limits memory.limit_in_bytes memory.max
  check "scale up" '0 *' docker service scale --detach two=4
  check "four run" '0 ' wait_for running two 4
  check "one is killed" '0 *' docker kill "$(container_of two)"
  check "and replaced" '0 ' wait_for running two 4
  check "scale down" '0 *' docker service scale --detach two=3
  check "three run" '0 ' wait_for running two 3
  check "rolling update" '0 *' docker service update --detach --no-resolve-image --args 'sleep 601' two
  check "all run what is new" '0 ' wait_for running_command two 'sleep 601' 3
  check "roll back" '0 *' docker service rollback --detach two
  check "all run what was there" '0 ' wait_for running_command two 'sleep 600' 3
  check "service rm" '0 two' docker service rm two
  check "secret" '0 *' bash -c 'printf hidden | docker secret create word -'
  check "config" '0 *' bash -c 'printf kept | docker config create page -'
  check "service with both and a health check" '0 *' service site --network host --secret word \
    --config source=page,target=/www/word --health-cmd 'test ! -e /ill' --health-interval 1s \
    -- httpd -f -p 8081 -h /www
  check "is served" '0 ' wait_for serves_word
  check "its secret" '0 hidden' inside_of site cat /run/secrets/word
  local container
  container=$(container_of site)
  check "it falls ill" '0 ' inside_of site touch /ill
  check "and is replaced" '0 ' wait_for another_than site "$container"
  check "rm of that service" '0 site' docker service rm site
  check "swarm leave" '0 *' docker swarm leave --force
  check "no container runs" '0 ' wait_for no_container
  wait_for no_shim
  check "no shim is left" '1 ' pgrep -af '^[^ ]*containerd-shim'
  kill "$daemon" && wait "$daemon" 2>/dev/null
}
no_container() { [ -z "$(docker ps -q)" ]; }

all_checks() { # PATH
  start_docker "$1"
  services
}
with_both_shims all_checks
