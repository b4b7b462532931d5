# Set-up shared by the scripts of this directory: source it, it runs nothing.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$@"
  exit 1
}

need_root() { [ "$EUID" = 0 ] || die "run me as root: containers are made by root here"; }

# A command whose output is only of interest when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [ "$status" = 0 ] || tail -n 40 "$log" >&2
  rm -f "$log"
  return "$status"
}

missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# Installs those of the named Debian packages that are missing. Services they bring are not started (policy-rc.d).
need_packages() {
  local missing policy=/usr/sbin/policy-rc.d ours=
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} != 0 ] || return 0
  [ "$EUID" = 0 ] || die "install first: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && ours=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  local status=0
  if ! apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 </dev/null; then
    # The lists of a fresh machine are empty or old.
    { quietly apt-get update && quietly apt-get install -y --no-install-recommends "${missing[@]}"; } || status=$?
  fi
  [ -z "$ours" ] || rm -f "$policy"
  return "$status"
}

# The archive this machine uses.
mirror() {
  local found
  found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    grep -E '^(URIs:|deb )' | grep -oE 'https?://[^ ]*/debian/?( |$)' | head -n 1) || true
  echo "${found:?apt knows no archive of Debian}"
}

# What it is signed with.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# unpack SUITE DIR PACKAGE...: unpacks packages of a suite, by a view of the archive that is not the machine's; with
# `needed=1` those they need too. What comes on the way goes to $work, the caller's.
# shellcheck disable=SC2154
unpack() {
  local suite=$1 dir=$2 package get=(download)
  shift 2
  [ -z "${needed:-}" ] || get=(install --download-only --no-install-recommends -y)
  mkdir -p "$work"/apt/{lists,cache,packages}/partial "$dir"
  echo "deb [signed-by=$keyring] $(mirror) $suite main" >"$work/apt/sources.list"
  # As far as this view goes nothing is installed: else what this machine has would not be fetched.
  : >"$work/apt/status"
  cat >"$work/apt/apt.conf" <<EOF
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$work/apt/lists";
Dir::State::Status "$work/apt/status";
Dir::Cache "$work/apt/cache";
Dir::Cache::Archives "$work/apt/packages";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
APT::Sandbox::User "root";
EOF
  APT_CONFIG=$work/apt/apt.conf quietly apt-get -qq update
  (cd "$work/apt/packages" && APT_CONFIG=$work/apt/apt.conf quietly apt-get -qq "${get[@]}" "$@")
  for package in "$work"/apt/packages/*.deb; do
    dpkg -x "$package" "$dir"
  done
}

# What a release is built from: cargo of at least the workspace's rust-version, a linker, static C libraries.
need_build() {
  need_packages gcc libc6-dev libseccomp-dev
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$top/Cargo.toml")
  found=$(cd "$top" && cargo --version 2>/dev/null | cut -d' ' -f2)
  [ "$(printf '%s\n' "$wanted" "${found:-0}" | sort -V | head -n1)" != "$wanted" ] || return 0
  say "installing Rust by rustup (found ${found:-none}, needed $wanted)"
  need_packages curl ca-certificates
  local installer
  installer=$(mktemp)
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$installer"
  quietly sh "$installer" -y --no-modify-path --profile minimal -c rustfmt -c clippy
  rm -f "$installer"
  PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
}

# Builds the release binaries. After need_build.
build_release() {
  say "building"
  (cd "$top" && cargo build --release --quiet --package coracle --package coracle-image \
    --package containerd-shim-coracle-v2)
}

# built PROFILE [PROGRAM]: the path of a binary of a profile, wherever cargo puts it.
built() {
  local triple
  triple=$(rustc -vV | sed -n 's/^host: //p')
  echo "${CARGO_TARGET_DIR:-$top/target}/$triple/$1/${2:-coracle}"
}

# make_rootfs DIR PROGRAM...: a root filesystem of the host's programs and the libraries they are linked with.
make_rootfs() {
  local root=$1 program path
  shift
  mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},etc,proc,sys,dev,tmp,root}
  for path in bin sbin lib lib64; do
    ln -s "usr/$path" "$root/$path"
  done
  for program in "$@"; do
    path=$(type -P "$program") || die "$program is not on this machine"
    # Static programs have no list.
    for path in "$path" $(ldd "$path" 2>/dev/null | grep -o '/[^ ]*' || true); do
      [ -e "$root$path" ] || cp -L --parents "$path" "$root"
    done
  done
  cp -L /etc/os-release "$root/etc"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >"$root/etc/group"
}

# The words as a JSON array.
json_array() {
  local word list=
  for word in "$@"; do
    word=${word//\\/\\\\}
    word=${word//\"/\\\"}
    word=${word//$'\n'/\\n}
    word=${word//$'\t'/\\t}
    list+=", \"$word\""
  done
  echo "[${list#, }]"
}

# In a mount namespace of one's own, on a host with cgroup v1: its controllers alone, in a tmpfs that engines may scribble
# on, without the empty v2 tree beside them that some runtimes refuse.
own_cgroups() {
  [ ! -e /sys/fs/cgroup/cgroup.controllers ] || return 0
  local controllers name
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  while IFS=: read -r _ controllers _; do
    [ -n "$controllers" ] || continue
    name=${controllers#name=}
    mkdir "/sys/fs/cgroup/$name" && mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$name"
  done </proc/self/cgroup
}
