# What a shim costs in memory and time. Sourced by hack/engines for hack/bench-shim.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153,SC2154

[ -n "${ROUNDS:-}" ] || { skip all "hack/bench-shim asks for it" && finish; }
. hack/engine/containerd/daemon.sh

names=("coracle's, coracle" "containerd's, coracle" "containerd's, crun" "containerd's, runc")
options=("--runtime io.containerd.coracle.v2 --runtime-config-path $work/runtime.toml" "--runc-binary $CORACLE"
  "--runc-binary $(type -P crun)" "--runc-binary /usr/sbin/runc")

median() { sort -n | awk '{ value[NR] = $1 } END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'; }
least() { sort -n | head -n 1; }

held() { # FIELD PID...
  local field=$1 pid
  shift
  for pid in "$@"; do sed -n "s/^$field: *\\([0-9]*\\) kB/\\1/p" "/proc/$pid/smaps_rollup"; done | median
}

# Of COUNT shims that are there at once, each with one container.
memory() { # COUNT
  local way n shims
  printf '\n| %s at once: shim, runtime | PSS, KiB | RSS, KiB | private, dirty, KiB | threads |\n|---|---:|---:|---:|---:|\n' "$1"
  for way in "${!names[@]}"; do
    # shellcheck disable=SC2086 # words
    for ((n = 0; n < $1; n++)); do ctr run -d ${options[way]} "$image" "idle$n" sleep 600 || exit 1; done
    sleep 2
    mapfile -t shims < <(pgrep -f '^[^ ]*containerd-shim')
    [ ${#shims[@]} = "$1" ] || { echo "${#shims[@]} shims" && exit 1; }
    printf '| %s | %s | %s | %s | %s |\n' "${names[way]}" "$(held Pss "${shims[@]}")" "$(held Rss "${shims[@]}")" \
      "$(held Private_Dirty "${shims[@]}")" "$(find "/proc/${shims[0]}/task" -mindepth 1 -maxdepth 1 | wc -l)"
    for ((n = 0; n < $1; n++)); do
      ctr tasks kill --signal SIGKILL "idle$n"
      wait_for status_is "idle$n" STOPPED
      ctr tasks rm "idle$n" >/dev/null 2>&1
      ctr containers rm "idle$n"
    done
    wait_for no_process '^[^ ]*containerd-shim'
  done
}

# By turns, so that whatever else the machine does hits all of them.
times() {
  local way round begin
  for ((round = 0; round <= ROUNDS; round++)); do
    for way in "${!names[@]}"; do
      begin=${EPOCHREALTIME/./}
      # shellcheck disable=SC2086 # words
      ctr run --rm ${options[way]} "$image" "timed$round$way" true || exit 1
      # The first one is to warm up.
      [ "$round" = 0 ] || echo $((${EPOCHREALTIME/./} - begin)) >>"$work/time.$way"
    done
  done
  printf '\n| `ctr run --rm`: shim, runtime | median, ms | least, ms | of that of runc, median of pairs |\n|---|---:|---:|---:|\n'
  for way in "${!names[@]}"; do
    printf '| %s | %s | %s | %s |\n' "${names[way]}" "$(($(median <"$work/time.$way" | cut -d. -f1) / 1000))" \
      "$(($(least <"$work/time.$way") / 1000))" "$(paste "$work/time.$way" "$work/time.3" | awk '{ print $1 / $2 }' | median | xargs printf %.2f)"
  done
}

start_containerd
ctr images import "$work/image.tar" >/dev/null
memory 1
memory 5
times
printf '\n%s rounds; %s; load %s\n' "$ROUNDS" \
  "$(dpkg-query -W -f='${Package} ${Version}\n' containerd runc crun | paste -sd' ')" "$(cut -d' ' -f1-3 /proc/loadavg)"
stop_containerd TERM
