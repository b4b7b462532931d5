# What is done with a container of podman's that runs, and with several as a pod. Sourced by podman.sh.
# shellcheck shell=bash disable=SC2016,SC2154

held_containers() {
  local parent=(--network none --cgroup-parent "/${work##*/}")
  podman_check "to be looked after" '0 *' run -d --name held "${parent[@]}" --memory 64m --pids-limit 40 \
    --health-cmd 'test -e /tmp/well' "$image" sh -c 'echo begun; exec sleep 600'
  podman_check "exec" '5 1000' exec -u guest held sh -c 'id -u; exit 5'
  check "exec with standard input" '0 typed' bash -c 'echo typed | podman exec -i held cat'
  check "exec with a terminal" '0 */dev/pts/0*' script -qefc "bash -c 'podman exec -it held tty'" /dev/null
  podman_check "exec of what is not there" '127 *' exec held /nosuchprogram
  podman_check "an ill one" '1 *' healthcheck run held
  podman_check "exec, detached" '0 *' exec -d held touch /tmp/well
  check "a healthy one" '0 *' wait_for podman healthcheck run held
  podman_check "processes" '0 *sleep 600*' top held
  podman_check "what is used" '0 */*67.11MB*' stats --no-stream --format '{{.MemUsage}}' held
  podman_check "update" '0 *' update --memory 32m held
  check "updated" '0 33554432' held_limit 33554432
  podman_check "pause" '0 *' pause held
  podman_check "paused" '0 paused' inspect --format '{{.State.Status}}' held
  podman_check "unpause" '0 *' unpause held
  podman_check "diff" '0 *A /tmp/well*' diff held
  podman_check "cp" '0 ' cp "$work/podman/shared/file" held:/tmp/file
  podman_check "copied" '0 below' exec held cat /tmp/file
  podman_check "commit" '0 *' commit -q --change 'CMD cat /tmp/file' held local.test/committed
  run_in_image "run of what was committed" '0 below' local.test/committed
  podman_check "pids of another container" '0 *sleep 600*' run --rm "${parent[@]}" --pid container:held "$image" ps
  podman_check "volume" '0 ' run --rm "${parent[@]}" -v data:/data "$image" sh -c 'echo kept >/data/file'
  podman_check "which keeps" '0 kept' run --rm "${parent[@]}" -v data:/data:ro "$image" cat /data/file
  podman_check "volume rm" '0 data' volume rm data
  podman_check "unit for systemd" '0 *ExecStart=*podman start held*' generate systemd --name held
  podman_check "rm of it" '0 *' rm -f -t 0 held
  printf 'FROM %s\nRUN echo built >/file\nUSER guest\nRUN id -u >/tmp/user\nCMD cat /file /tmp/user\n' "$image" >"$work/podman/Containerfile"
  podman_check "build" '0 *' build -q --network none --runtime "$CORACLE" -t local.test/built -f "$work/podman/Containerfile"
  run_in_image "run of what was built" $'0 built\n1000' local.test/built
}

held_limit() { # BYTES
  cgroups -path "*/${work##*/}/*/*" '(' -name memory.limit_in_bytes -o -name memory.max ')' -exec cat {} + | grep -x "$1" | uniq
}
run_in_image() { podman_check "$1" "$2" run --rm --network none --cgroup-parent "/${work##*/}" "$3"; } # NAME WANTED IMAGE

pods() {
  podman_check "image of a pod" '0 *' load -q -i "$work/pause.tar"
  podman_check "pod create" '0 *' pod create --name pod --network none --cgroup-parent "/${work##*/}" --hostname together --share ipc,net,uts,pid
  podman_check "a container in it" '0 *' run -d --pod pod --name site "$image" httpd -f -h /etc
  podman_check "another one" '0 root:x:0:*' run --rm --pod pod "$image" sh -c 'until wget -q -O - http://127.0.0.1/group; do sleep 0.1; done'
  podman_check "the pod's host name" '0 together' exec site hostname
  podman_check "the pod's processes" '0 *sleep*httpd*' exec site ps
  podman_check "pod ps" '0 Running 2' pod ps --format '{{.Status}} {{.NumberOfContainers}}'
  podman_check "pod pause" '0 *' pod pause pod
  podman_check "pod unpause" '0 *' pod unpause pod
  podman_check "pod restart" '0 *' pod restart pod
  podman_check "pod stats" '0 *site*' pod stats --no-stream pod
  podman_check "generate kube" '0 *kind: Pod*' generate kube pod
  podman_check "pod stop" '0 *' pod stop -t 1 pod
  podman_check "pod rm" '0 *' pod rm pod
}

kubernetes_pods() {
  cat >"$work/podman/pod.yaml" <<YAML
apiVersion: v1
kind: Pod
metadata: { name: played }
spec:
  hostname: told
  containers:
  - { name: one, image: $image, command: [sleep, "600"], resources: { limits: { memory: 64Mi } },
      volumeMounts: [{ name: data, mountPath: /data }], securityContext: { readOnlyRootFilesystem: true } }
  - { name: two, image: $image, command: [sh, -c, "echo \$WORD >/data/word; sleep 600"], env: [{ name: WORD, value: kept }],
      volumeMounts: [{ name: data, mountPath: /data }] }
  volumes: [{ name: data, emptyDir: {} }]
YAML
  podman_check "play kube" '0 *' play kube --network none "$work/podman/pod.yaml"
  podman_check "runs both" '0 Running 3' pod ps --format '{{.Status}} {{.NumberOfContainers}}'
  check "a volume of both" '0 ' wait_for podman exec played-one grep -q kept /data/word
  podman_check "the host name it says" '0 told' exec played-two hostname
  podman_check "the limit it says" '0 67108864' inspect --format '{{.HostConfig.Memory}}' played-one
  podman_check "the read-only root it says" '1 *Read-only file system*' exec played-one touch /x
  podman_check "play kube --down" '0 *' play kube --down "$work/podman/pod.yaml"
}
