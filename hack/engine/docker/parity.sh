# The same changes in a container of Docker's and in one of coracle-image's: what both make of them. Sourced by docker.sh.
# shellcheck shell=bash disable=SC2016,SC2154

ours() { "$IMAGES" --root "$work/$engine/images" --runtime "$CORACLE" --runtime-root "$work/$engine/state" "$@"; }
# What every container has mounted over, Docker leaves a file for.
diff_of() { "$@" diff changes | grep -vE '^[AC] /(etc/(hosts|hostname|resolv.conf|mtab)|dev|proc|sys|etc|\.dockerenv)(/|$)' | sort; }
same_diff() { diff <(diff_of docker) <(diff_of ours); }
# The uppermost layer of an archive of `docker save`: type, mode, owner, size, path and link of each entry. Whiteouts have
# a mode of no meaning.
top_layer() {
  local layer
  layer=$(tar -xOf "$1" manifest.json | grep -oE '"Layers":\[[^]]*' | grep -oE '"[^"]+"$' | tr -d '"')
  tar -xOf "$1" "$layer" | { gzip -dc 2>/dev/null || tar -xOf "$1" "$layer"; } | tar -tv --numeric-owner |
    awk '/\.wh\./ { $1 = "" } { $4 = $5 = ""; print }' | grep -vE ' (\./)?(etc|dev|proc|sys|\.dockerenv)(/|$)' | sed 's| \./| |' | sort
}
same_layer() {
  docker save local.test/theirs -o "$work/$engine/theirs.tar" && ours copy local.test/ours:latest "docker-archive:$work/$engine/ours.tar"
  diff <(top_layer "$work/$engine/theirs.tar") <(top_layer "$work/$engine/ours.tar")
}
same_configuration() {
  local what='{{json .Config.Cmd}} {{json .Config.Env}} {{json .Config.WorkingDir}} {{json .Config.User}} {{len .RootFS.Layers}}'
  diff <(docker image inspect -f "$what" local.test/theirs) <(docker image inspect -f "$what" local.test/ours)
}

parity() {
  local changes='mkdir -m 1777 /new && echo a >/new/file && ln /new/file /new/hard && ln -s /nowhere /new/link && mkfifo /pipe
    rm /bin/vi && chmod 700 /root && chown 1000:7 /tmp && rm -r /run && mkdir /run && echo b >/run/file
    mv /bin/awk /bin/moved && chmod 4755 /bin/moved && touch -d 2001-01-01 /new/file && echo c >>/new/file'
  check "the same image" '0 *busybox*' ours load --input "$work/image.tar"
  check "changes in a container of Docker" '0 ' docker run --name changes --network none "$image" sh -c "$changes"
  check "the same changes in one of coracle-image" '0 ' ours run --name changes "$image" sh -c "$changes"
  check "diff shows the same" '0 ' same_diff
  check "Docker's commit" '0 *' docker commit --change 'CMD ["cat", "/new/file"]' --change 'ENV A=b' changes local.test/theirs
  check "coracle-image's commit" '0 *' ours commit --change 'CMD ["cat", "/new/file"]' --change 'ENV A=b' changes local.test/ours
  check "the layers hold the same" '0 ' same_layer
  check "ours given to Docker" '0 ' ours push local.test/ours:latest docker-daemon:local.test/ours:latest
  check "the configurations say the same" '0 ' same_configuration
  check "Docker runs ours" $'0 a\nc' docker run --rm --network none local.test/ours
  check "theirs taken from Docker" '0 *theirs*' ours pull docker-daemon:local.test/theirs:latest
  check "coracle-image runs theirs" $'0 a\nc' ours run --rm local.test/theirs:latest
  check "rm of all that" '0 *' bash -c 'docker rm changes && docker rmi local.test/ours local.test/theirs'
  check "rm of ours" '0 ' ours rm --container changes
}
