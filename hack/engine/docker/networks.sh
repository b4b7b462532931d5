# Networks of docker's, and what is made of several containers. Sourced by docker.sh.
# shellcheck shell=bash disable=SC2016,SC2154

fetched() { wait_for busybox wget -q -O /dev/null "$1" && busybox wget -q -O - "$1"; } # URL

networks() {
  check "a published port" '0 *' docker run -d --name web -p 127.0.0.1:8080:80 "$image" httpd -f -h /etc
  check "is answered on" '0 root:x:0:*' fetched http://127.0.0.1:8080/group
  check "port" '0 127.0.0.1:8080' docker port web 80/tcp
  run_check "link" '0 root:x:0:*' --network bridge --link web:site -- wget -q -O - http://site/group
  run_check "environment of a link" '0 tcp://172.31.240.*:80' --network bridge --link web:site -- sh -c 'echo $SITE_PORT_80_TCP'
  run_check "network of another container" '0 root:x:0:*' --network container:web -- wget -q -O - http://127.0.0.1/group
  run_check "names in /etc/hosts" '0 *10.1.2.3*nearby*' --add-host nearby:10.1.2.3 -- cat /etc/hosts
  check "user network" '0 *' docker network create --subnet 172.31.241.0/24 one
  check "container in it" '0 *' docker run -d --name inner --network one --ip 172.31.241.7 --network-alias other "$image" httpd -f -h /etc
  run_check "found by its name" '0 root:x:0:*' --network one -- wget -q -O - http://inner/group
  run_check "found by its alias" '0 root:x:0:*' --network one -- wget -q -O - http://other/group
  check "connect" '0 ' docker network connect one web
  check "a second interface" '0 *eth1*' docker exec web ls /sys/class/net
  check "the other end" '0 root:x:0:*' docker exec web wget -q -O - http://inner/group
  check "disconnect" '0 ' docker network disconnect one web
  check "one interface less" $'0 eth0\nlo' docker exec web sh -c 'ls /sys/class/net'
  check "rm of both" '0 *' docker rm -f web inner
  check "network rm" '0 one' docker network rm one
}

shared_namespaces() {
  check "an owner of namespaces" '0 *' docker run -d --name owner --network none --ipc shareable --hostname owner "$image" sleep 600
  run_check "pids of another container" '0 *sleep 600*' --pid container:owner -- ps
  run_check "ipc of another container" '0 ' --ipc container:owner -- sh -c 'echo >/dev/shm/there'
  check "which sees it" '0 /dev/shm/there' docker exec owner ls /dev/shm/there
  run_check "host ipc" '0 ' --ipc host -- true
  run_check "host name of the host" "0 $(hostname)" --uts host -- hostname
  run_check "private cgroup namespace" '0 ' --cgroupns private -- sh -c '! grep -q "[^/]$" /proc/self/cgroup'
  check "rm of the owner" '0 owner' docker rm -f owner
}

composed() {
  type -P docker-compose >/dev/null || { skip compose "docker-compose is not installed" && return; }
  mkdir -p "$work/compose"
  cat >"$work/compose/docker-compose.yml" <<YAML
version: "2.4"
services:
  site:
    image: $image
    command: httpd -f -h /data
    volumes: ["data:/data"]
    mem_limit: 64m
    healthcheck: { test: "wget -q -O /dev/null http://127.0.0.1/page", interval: 1s, retries: 60 }
  writer:
    image: $image
    command: sh -c 'echo \$\$WORD >/data/page; exec sleep 600'
    environment: { WORD: composed }
    volumes: ["data:/data"]
  reader:
    image: $image
    command: sh -c 'wget -q -O - http://site/page; exec sleep 600'
    depends_on: { site: { condition: service_healthy } }
volumes: { data: {} }
YAML
  # shellcheck disable=SC2317 # called by check
  compose() { timeout "$PATIENCE" docker-compose --ansi never --file "$work/compose/docker-compose.yml" --project-name made "$@"; }
  check "compose up" '0 *' compose up -d
  wait_for reader_has_read
  check "compose logs" '0 *composed*' compose logs --no-color reader
  check "compose exec" '0 composed' compose exec -T site cat /data/page
  check "compose scale" '0 *' compose up -d --no-recreate --scale writer=3
  check "compose ps" '0 3' bash -c "docker ps -q --filter label=com.docker.compose.service=writer | wc -l"
  check "compose restart" '0 *' compose restart -t 1 reader
  check "compose down" '0 *' compose down -v -t 1
}
reader_has_read() { compose logs reader | grep -q composed; }
