# Packages, installed, used and removed in a Debian that has nothing else. Sourced by hack/engines for hack/packages, which
# makes them.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

[ -n "${PACKAGES:-}" ] || { skip all "hack/packages --test makes them" && finish; }
archive=$(hack/debian) || { skip all "there is no Debian" && finish; }
names=(coracle coracle-image containerd-shim-coracle)

root=$work/root
mkdir "$root" && tar -C "$root" -xpf "$archive" && mkdir "$root/packages" || exit 1
unshare --mount bash -euc '
  mount --make-rprivate / && mount --bind "$1" "$1" && cd "$1" && mount --bind "$2" packages
  mount -t proc proc proc && mount --rbind /sys sys && mount --rbind /dev dev && mount -t tmpfs run run
  pivot_root . mnt && umount -l mnt && : >/run/ready && exec sleep 86400' bash "$root" "$PACKAGES" &
holder=$!
debian() { nsenter --target "$holder" --mount -- sh -c 'cd / && exec "$@"' sh "$@"; }
wait_for debian test -e /run/ready || { echo "there is no Debian" && exit 1; }

install() { debian sh -c 'dpkg --install /packages/*.deb'; }
# All there is, but for what dpkg itself writes. A directory does not shrink.
files() {
  debian find / -xdev '(' -path /proc -o -path /sys -o -path /packages -o -path /var/lib/dpkg -o -path /var/log ')' -prune -o \
    -type f -printf '%p %m %U:%G %s\n' -o -printf '%p %y %m %U:%G %l\n' | sort
}
unchanged() { diff <(echo "$before") <(files); }
bundle() {
  debian bash -euc 'mkdir -p /run/bundle/rootfs && cd /run/bundle && coracle spec && mount --bind / rootfs
    sed -i '\''s/"terminal": true/"terminal": false/; s/"sh"/"echo", "hello"/'\'' config.json && coracle check .'
}

before=$(files)
check "install" '0 *' install
check "every file is as it was packed" '0 ' debian dpkg --verify "${names[@]}"
check "coracle" '0 coracle version *' debian coracle --version
check "coracle-image" '0 coracle-image *' debian coracle-image --version
check "containerd-shim-coracle-v2" '0 containerd-shim-coracle-v2 *' debian containerd-shim-coracle-v2 -v
check "its man page" '0 *.TH*' debian zcat /usr/share/man/man8/coracle-run.8.gz
check "its completions" '0 *complete*' debian grep complete /usr/share/bash-completion/completions/coracle
check "a bundle" '0 *will start*' bundle
check "a container" '0 hello' debian coracle run --bundle /run/bundle "${work##*/}"
check "which is gone" '0 ' debian coracle list --quiet
check "no service, no configuration" '0 ' debian sh -c 'dpkg --listfiles "$@" | grep -E "^/(etc|lib|usr/lib)/" || :' sh "${names[@]}"
check "install once more" '0 *' install
check "what others need stays" '1 *dependency problems*' debian dpkg --remove coracle
check "remove" '0 *' debian dpkg --purge "${names[@]}"
check "nothing of them is left" '0 ' unchanged
kill "$holder"
