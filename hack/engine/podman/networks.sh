# Networks of podman's, by netavark. Sourced by podman.sh.
# shellcheck shell=bash disable=SC2154

networks() {
  [ -x /usr/lib/podman/aardvark-dns ] || { skip networks "netavark and aardvark-dns are not installed" && return; }
  podman_check "network create" '0 *' network create --subnet 172.31.243.0/24 one
  podman_check "a published port" '0 *' run -d --name site --network one --cgroup-parent "/${work##*/}" -p 8082:80 "$image" httpd -f -h /etc
  check "is answered on" '0 root:x:0:*' published_page
  podman_check "found by its name" '0 root:x:0:*' run --rm --network one --cgroup-parent "/${work##*/}" "$image" \
    sh -c 'until wget -q -O - http://site/group; do sleep 0.1; done'
  podman_check "network of another container" '0 root:x:0:*' run --rm --network container:site --cgroup-parent "/${work##*/}" "$image" \
    wget -q -O - http://127.0.0.1/group
  podman_check "rm of it" '0 *' rm -f -t 0 site
  podman_check "network rm" '0 one' network rm one
}

# By the address of the bridge: published ports of loopback need a setting of the machine's.
published_page() { wait_for busybox wget -q -O /dev/null http://172.31.243.1:8082/group && busybox wget -q -O - http://172.31.243.1:8082/group; }
