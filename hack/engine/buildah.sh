# buildah, which runs the commands that make an image. Sourced by hack/engines.
# shellcheck shell=bash disable=SC2016,SC2154

type -P buildah >/dev/null || { skip all "buildah is not installed" && finish; }

mkdir -m 711 "$work/buildah"
export BUILDAH_RUNTIME=$CORACLE BUILDAH_ISOLATION=oci
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$work/buildah/graph" "$work/buildah/run" >"$work/buildah/storage.conf"
nofile=$(ulimit -Hn)
[ "$nofile" != unlimited ] || nofile=1048576
printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=%s:%s"]\n' "$nofile" "$nofile" 30000 30000 >"$work/buildah/containers.conf"
export CONTAINERS_CONF=$work/buildah/containers.conf CONTAINERS_STORAGE_CONF=$work/buildah/storage.conf
image=local.test/busybox:latest

# run_check NAME WANTED [OPTION...] -- COMMAND...
# Without what the runtime logs: this buildah asks for ambient capabilities that cannot be, which runtimes may say.
run_check() {
  local name=$1 wanted=$2 options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  check "$name" "$wanted" bash -c '"$@" 2>/dev/null' buildah buildah run --network none "${options[@]}" working -- "$@"
}

check "pull" '0 *' buildah pull -q "docker-archive:$work/image.tar"
check "from" '0 working' buildah from --name working --cgroup-parent "/${work##*/}" "$image"
run_check "output" '0 hello' -- echo hello
run_check "exit code" '7 *' -- sh -c 'exit 7'
run_check "user, working directory, environment" '0 1000 /tmp b' --user guest --workingdir /tmp --env A=b -- sh -c 'echo $(id -u) $PWD $A'
mkdir "$work/buildah/shared" && echo below >"$work/buildah/shared/file"
run_check "bind mount" '0 below' -v "$work/buildah/shared:/mnt:ro" -- cat /mnt/file
run_check "seccomp filter" '0 *2' -- grep Seccomp: /proc/self/status
run_check "no capabilities" '0 *0000000000000000' --cap-drop all -- grep CapEff /proc/self/status
check "missing program" '* *no such file or directory*' buildah run --network none working -- /nosuchprogram
check "terminal" '0 */dev/pts/0*' script -qefc "buildah run --network none -t working -- tty" /dev/null
run_check "a deed" '0 ' -- sh -c 'echo made >/made'
check "configure" '0 ' buildah config --cmd 'cat /made' working
check "commit" '0 *' buildah commit -q working local.test/made
check "what was committed has it" '0 *' buildah from --name second local.test/made
check "as it was made" '0 *made*' buildah run --network none second -- cat /made
printf 'FROM %s AS first\nRUN echo built >/file && exit 0\nFROM %s\nCOPY --from=first /file /file\nUSER guest\nRUN test "$(id -u)" = 1000 && grep -q built /file\n' \
  "$image" "$image" >"$work/buildah/Containerfile"
check "build" '0 *' buildah build -q --network none --cgroup-parent "/${work##*/}" -t local.test/built -f "$work/buildah/Containerfile"
printf 'FROM %s\nRUN exit 3\n' "$image" >"$work/buildah/Containerfile"
check "a build that fails" '3 *exit status 3*' buildah build -q --network none -f "$work/buildah/Containerfile"
check "rm" '0 *' buildah rm -a
