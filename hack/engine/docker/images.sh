# Images and volumes of docker's, which are made of containers. Sourced by docker.sh.
# shellcheck shell=bash disable=SC2016,SC2154

volumes() {
  check "volume create" '0 data' docker volume create data
  run_check "written to" '0 ' -v data:/data -- sh -c 'echo kept >/data/file'
  run_check "read from, read-only" '0 kept' --mount type=volume,src=data,dst=/data,readonly -- cat /data/file
  run_check "not written to then" '1 *Read-only file system*' -v data:/data:ro -- touch /data/file
  run_check "without a name" '0 ' -v /data -- touch /data/file
  check "of another container" '0 *' docker create --name holder --network none -v data:/data "$image" true
  run_check "by volumes-from" '0 kept' --volumes-from holder -- cat /data/file
  run_check "tmpfs mount" '0 *tmpfs /t tmpfs*' --mount type=tmpfs,dst=/t -- grep ' /t ' /proc/mounts
  check "cp into it" '0 *' docker cp "$work/docker/shared/file" holder:/data/copied
  check "cp out of it" '0 below' bash -c 'docker cp holder:/data/copied - | tar -xO'
  check "rm of what holds it" '0 holder' docker rm holder
  check "volume rm" '0 data' docker volume rm data
}

made_images() {
  check "a container to commit" '0 ' docker run --name draft --network none "$image" sh -c 'echo made >/made'
  check "what it wrote" '0 *A /made*' docker diff draft
  check "commit" '0 *' docker commit --change 'CMD ["cat", "/made"]' draft local.test/committed
  check "run of that" '0 made' docker run --rm --network none local.test/committed
  check "export and import" '0 sha256:*' bash -c 'docker export draft | docker import - local.test/imported'
  check "run of the import" '0 made' docker run --rm --network none local.test/imported cat /made
  check "rm of the draft" '0 draft' docker rm draft
  mkdir -p "$work/docker/build"
  cat >"$work/docker/build/Dockerfile" <<'DOCKERFILE'
FROM local.test/busybox:latest AS first
RUN mkdir /work && echo built >/work/file && chmod 4755 /bin/busybox && grep -q 'Seccomp:.*2' /proc/self/status
USER guest
RUN id -u >/tmp/user
FROM local.test/busybox:latest
ARG WORD
ENV WORD=$WORD
WORKDIR /here
COPY --from=first /work/file /tmp/user ./
COPY Dockerfile .
HEALTHCHECK NONE
CMD ["sh", "-c", "cat file user; echo $WORD; ls"]
DOCKERFILE
  check "build" '0 *' env DOCKER_BUILDKIT=0 docker build --network none --build-arg WORD=said -t local.test/built "$work/docker/build"
  check "run of what was built" $'0 built\n1000\nsaid\nDockerfile\nfile\nuser' docker run --rm --network none local.test/built
  check "a build that fails" '3 *returned a non-zero code: 3*' \
    bash -c "printf 'FROM local.test/busybox:latest\nRUN exit 3\n' | DOCKER_BUILDKIT=0 docker build --force-rm --network none -"
  check "images rm" '0 *' docker rmi -f local.test/committed local.test/imported local.test/built
}
