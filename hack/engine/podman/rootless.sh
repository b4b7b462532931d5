# podman of an ordinary user, who exists in this mount namespace alone. Sourced by podman.sh.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

rootless_user() {
  local file
  mkdir -p "$work/rootless"/{etc,home,run,bin}
  for file in passwd group subuid subgid; do
    cp "/etc/$file" "$work/rootless/etc/$file" 2>/dev/null || : >"$work/rootless/etc/$file"
    [ -e "/etc/$file" ] || return 1
  done
  echo "rootless:x:5000:5000::$work/rootless/home:/bin/sh" >>"$work/rootless/etc/passwd"
  echo "rootless:x:5000:" >>"$work/rootless/etc/group"
  echo "rootless:500000:65536" | tee -a "$work/rootless/etc/subuid" >>"$work/rootless/etc/subgid"
  for file in passwd group subuid subgid; do mount --bind "$work/rootless/etc/$file" "/etc/$file"; done
  # Where the user can reach it.
  cp "$CORACLE" "$work/rootless/bin/runtime"
  sed -e '/^cgroup_manager/d' -e '/^network_config_dir/d' -e "s|$CORACLE|$work/rootless/bin/runtime|" "$work/podman/containers.conf" >"$work/rootless/containers.conf"
  printf '[storage]\ndriver = "overlay"\n' >"$work/rootless/storage.conf"
  chown -R 5000:5000 "$work/rootless/home" "$work/rootless/run"
  chmod 700 "$work/rootless/run"
}

user_podman() {
  env -i PATH="$PATH" TERM=dumb HOME="$work/rootless/home" XDG_RUNTIME_DIR="$work/rootless/run" CONTAINERS_CONF="$work/rootless/containers.conf" \
    CONTAINERS_STORAGE_CONF="$work/rootless/storage.conf" timeout "$PATIENCE" \
    setpriv --reuid 5000 --regid 5000 --init-groups podman --cgroup-manager cgroupfs "$@"
}

rootless() {
  engine="podman rootless"
  type -P newuidmap >/dev/null || { skip all "uidmap is not installed" && return; }
  rootless_user || { skip all "this machine has no /etc/subuid" && return; }
  cd "$work/rootless/home" || return
  local run=(user_podman run --rm --network none)
  check "image load" '0 *' user_podman load -q -i "$work/image.tar"
  check "output" '0 hello' "${run[@]}" "$image" echo hello
  check "exit code" '7 *' "${run[@]}" "$image" sh -c 'exit 7'
  check "root inside" '0 0 0 1' "${run[@]}" "$image" sh -c 'echo $(id -u) $(awk "NR == 1 { print \$1, \$3 }" /proc/self/uid_map)'
  check "one's own user" '0 5000' "${run[@]}" --userns keep-id "$image" id -u
  check "another user" '0 1000' "${run[@]}" --user guest "$image" id -u
  check "read-only root" '1 *Read-only file system*' "${run[@]}" --read-only --read-only-tmpfs=false "$image" touch /x
  check "tmpfs" '0 *tmpfs*' "${run[@]}" --tmpfs /scratch "$image" grep ' /scratch ' /proc/mounts
  check "volume" '0 ' "${run[@]}" -v data:/data "$image" sh -c 'echo kept >/data/file'
  check "which keeps" '0 kept' "${run[@]}" -v data:/data:ro "$image" cat /data/file
  check "no capabilities" '0 *0000000000000000' "${run[@]}" --cap-drop all "$image" grep CapEff /proc/self/status
  check "seccomp filter" '0 *2' "${run[@]}" "$image" grep Seccomp: /proc/self/status
  check "host network" '0 *lo*' user_podman run --rm --network host "$image" ls /sys/class/net
  check "privileged" '0 ' "${run[@]}" --privileged "$image" mount -t tmpfs t /tmp
  check "missing program" '127 *no such file or directory*' "${run[@]}" "$image" /nosuchprogram
  check "detached" '0 *' user_podman run -d --name long --network none "$image" sh -c 'trap "echo ended; exit 3" TERM; echo begun; while :; do sleep 0.1; done'
  check "exec" '5 there' user_podman exec long sh -c 'echo there; exit 5'
  check "stop" '0 *' user_podman stop -t 20 long
  check "exit code of a stopped one" '0 exited 3' user_podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' long
  check "logs" $'0 begun\nended' user_podman logs long
  check "rm" '0 *' user_podman rm long
  check "image of a pod" '0 *' user_podman load -q -i "$work/pause.tar"
  check "pod create" '0 *' user_podman pod create --name pod --network none --share ipc,net,uts,pid
  check "a container in it" '0 *' user_podman run -d --pod pod --name site "$image" httpd -f -p 8080 -h /etc
  check "another one" '0 root:x:0:*' user_podman run --rm --pod pod "$image" \
    sh -c 'until wget -q -O - http://127.0.0.1:8080/group; do sleep 0.1; done'
  check "the pod's processes" '0 *sleep*httpd*' user_podman exec site ps
  check "exec with one's own user" '0 *' user_podman run -d --name mine --network none --userns keep-id "$image" sleep 600
  check "is that user" '0 5000' user_podman exec mine id -u
  check "rm of it" '0 *' user_podman rm -f -t 0 mine
  check "pod rm" '0 *' user_podman pod rm -f -t 0 pod
  check "build" '0 *' build_as_user
  check "run of what was built" '0 built' "${run[@]}" local.test/built
  check "nothing left" '0 ' user_podman ps -a -q
  # The process that keeps the user namespace.
  user_podman system migrate >/dev/null 2>&1
}

build_as_user() {
  printf 'FROM %s\nRUN echo built >/file\nCMD cat /file\n' "$image" >"$work/rootless/Containerfile"
  user_podman build -q --network none --runtime "$work/rootless/bin/runtime" -t local.test/built -f "$work/rootless/Containerfile"
}
