# shellcheck shell=sh disable=SC2034,SC2153 # names that another part of install.sh sets or reads
# SPDX-License-Identifier: Apache-2.0
# What has to be so before anything is changed. All checks run; each says how it went in one line.

FAILED=0
ok() { printf 'ok      %s\n' "$*"; }
note() { printf 'note    %s\n' "$*"; }
bad() { # WHAT MEND
  printf 'FAILED  %s\n        %s\n' "$1" "$2"
  FAILED=$((FAILED + 1))
}

check_user() {
  if [ -n "$DESTDIR" ]; then
    ok "a tree is prepared in $DESTDIR; no command of OpenNebula is run"
  elif is_root; then
    ok "run as root: everything can be installed; what concerns OpenNebula is done as $ONEADMIN"
  elif [ "$(id -un)" != "$ONEADMIN" ]; then
    bad "run as $(id -un)" "run it as root, or as $ONEADMIN (who can install all but telemetryd)"
  elif [ -n "$TELEMETRYD" ]; then
    bad "run as $ONEADMIN, who can't install telemetryd with its unit" "run it as root, or with --no-telemetryd"
  else
    ok "run as $ONEADMIN"
  fi
}

version_at_least() { # VERSION MAJOR MINOR
  awk -v version="$1" -v major="$2" -v minor="$3" 'BEGIN { split(version, part, "."); exit !(part[1] > major || (part[1] == major && part[2] >= minor)) }'
}

check_opennebula() {
  if [ -z "$ONEADMIN_HOME" ]; then
    bad "there is no user $ONEADMIN" "run this on OpenNebula's front-end, or set ONEADMIN to its user's name"
    return
  fi
  if [ ! -d "$REMOTES/im" ]; then
    bad "there is no $REMOTES/im" "run this on OpenNebula's front-end"
    return
  fi
  for tree in kvm qemu; do
    if [ ! -d "$REMOTES/im/$tree-probes.d/vm/monitor" ]; then note "OpenNebula has no im/$tree-probes.d/vm/monitor here: it is made"; fi
  done
  version=$(as_oneadmin onehost --version 2>/dev/null </dev/null | sed -n 's/^OpenNebula \([0-9.]*\).*/\1/p')
  if [ -z "$version" ]; then
    bad "OpenNebula's version is not known: onehost --version does not say it" "install OpenNebula's command line tools (opennebula-tools)"
  elif version_at_least "$version" 5 12; then
    ok "OpenNebula $version"
    [ -z "$(other_front_ends)" ] || note "OpenNebula has several front-ends: install on each, with the same --endpoint of each (docs/opennebula.md)"
  else
    bad "OpenNebula $version is too old" "it has to be 5.12 or later, which run probes as this one is"
  fi
}

check_commands() {
  for word in awk cksum cmp stat timeout ssh tar; do
    command -v "$word" >/dev/null 2>&1 || bad "there is no command $word" "install it"
  done
  if is_root && ! command -v runuser >/dev/null 2>&1 && ! command -v sudo >/dev/null 2>&1; then
    bad "there is neither runuser nor sudo" "install one of them: OpenNebula's commands are run as $ONEADMIN"
  fi
  for look in hosts vms; do
    one=onehost
    [ $look = hosts ] || one=onevm
    if "look_at_$look" 2>"$WORK/said"; then ok "$one answers"; else
      bad "$one list fails: $(head -n 1 "$WORK/said")" "does OpenNebula run, and can $ONEADMIN log in? $one list, as $ONEADMIN, says more"
    fi
  done
  [ -n "$HOOKS" ] || return 0
  if look_at_hooks 2>"$WORK/said"; then ok "onehook answers"; else
    bad "onehook list fails: $(head -n 1 "$WORK/said")" "does OpenNebula run? Or go without events: --no-hooks"
  fi
}

# --- our programs ---

machine_of() { # PROGRAM: for which `uname -m` it was built
  if [ -r "${1%/*}/machine" ]; then
    cat "${1%/*}/machine"
    return
  fi
  case $(od -An -tx1 -N20 "$1" 2>/dev/null | tr -d ' \n') in
  7f454c4602*3e00) echo x86_64 ;;
  7f454c4602*b700) echo aarch64 ;;
  7f454c4602*f300) echo riscv64 ;;
  7f454c4602*1500) echo ppc64le ;;
  7f454c46*) echo other ;;
  *) uname -m ;; # a script runs everywhere
  esac
}

# Programs lie as make leaves them, as a package has them, or all in one directory.
find_program() { # BUILD NAME
  case $2 in
  vm_monitor) set -- "$1/$2" "$1/probes/$2" "$1/im/kvm-probes.d/vm/monitor/telemetry" ;;
  vm_status | vm_exec) set -- "$1/$2" "$1/probes/$2" "$1/hooks/telemetry/$2" ;;
  telemetryd) set -- "$1/$2" "$1/serve/$2" ;;
  forward | vm_event) set -- "$1/$2" "$1/hooks/$2" "$1/hooks/telemetry/$2" ;;
  *) set -- "$1/$2" "$1/commands/$2" "$1/hooks/telemetry/$2" ;;
  esac
  for found; do
    if [ -f "$found" ] && [ -x "$found" ]; then
      echo "$found"
      return
    fi
  done
}

missing_libraries() { ldd "$1" 2>/dev/null | awk '/not found/ { printf "%s%s", (n++ ? ", " : ""), $1 }'; }

# $WORK/builds/NAME: a directory for each build, with links to its programs, as they lie on the hosts. NATIVE: the build
# that runs here.
look_at_builds() {
  mkdir "$WORK/builds"
  NATIVE=
  for build in $BUILDS; do
    name=$(basename "$(cd "$build" && pwd)")
    to=$WORK/builds/$name
    if [ -e "$to" ]; then
      bad "two builds are called $name" "the last part of their directories' names tells them apart: rename one"
      continue
    fi
    probe=$(find_program "$build" vm_monitor)
    if [ -z "$probe" ]; then
      bad "there is no vm_monitor in $build" "build it: make"
      continue
    fi
    mkdir "$to"
    for program in $(host_programs); do
      found=$(find_program "$build" "$program")
      [ -z "$found" ] || ln -s "$(cd "${found%/*}" && pwd)/${found##*/}" "$to/$program"
    done
    machine_of "$probe" >"$to/machine"
    [ -e "$to/forward" ] || bad "there is no forward in $build" "build it: make"
    if [ -z "$NATIVE" ] && [ "$(cat "$to/machine")" = "$(uname -m)" ] && "$to/vm_monitor" --version >/dev/null 2>&1 </dev/null; then
      NATIVE=$name NATIVE_DIR=$build
    fi
  done
  set -- "$WORK/builds"/*
  N_BUILDS=$#
}

check_builds() {
  look_at_builds
  if [ -z "$BUILDS" ]; then
    bad "there are no programs to install" "build them: make; or name where they are: --build"
    return
  fi
  if [ -z "$NATIVE" ]; then
    probe=$(find_program "${BUILDS%% *}" vm_monitor)
    [ -z "$probe" ] || bad "no build runs on this front-end: $("$probe" --version 2>&1 </dev/null | head -n 1)" \
      "build one here (make), and give it too: --build. Libraries that are missing: $(missing_libraries "$probe")"
    return
  fi
  for program in vm_monitor forward vm_event telemetryd $(stead_programs); do
    [ "$program" != telemetryd ] || [ -n "$TELEMETRYD" ] || continue
    [ "$program" != vm_event ] || [ -n "$HOOKS" ] || continue
    found=$(find_program "$NATIVE_DIR" "$program")
    if [ -z "$found" ]; then
      if [ "$program" = telemetryd ] && command -v telemetryd >/dev/null 2>&1; then
        ok "telemetryd is installed already: $(command -v telemetryd)"
      else
        bad "there is no $program in $NATIVE_DIR" "build it: make"
      fi
    elif "$found" --version >"$WORK/said" 2>&1 </dev/null; then
      ok "$(head -n 1 "$WORK/said") runs here"
    else
      bad "$program does not run here: $(head -n 1 "$WORK/said")" \
        "install its libraries, or build it here. Missing: $(missing_libraries "$found")"
    fi
  done
}

# --- places ---

# Where files are put.
check_places() { # FAILED, before
  [ -n "$DESTDIR" ] || [ -n "$ONEADMIN_HOME" ] || return 0
  : >"$WORK/places.oneadmin"
  : >"$WORK/places.ours"
  for place in "$REMOTES/hooks/telemetry" "$REMOTES"/hooks/telemetry/builds/* "$REMOTES"/im/kvm-probes.d/vm/monitor \
    "$REMOTES"/im/qemu-probes.d/vm/monitor "$REMOTES"/im/kvm-probes.d/vm/status "$REMOTES"/im/qemu-probes.d/vm/status \
    "$REMOTES"/im/kvm-probes.d/vm/execution "$REMOTES"/im/qemu-probes.d/vm/execution "$REMOTES"/etc/im/kvm-probes.d "$REMOTES"/etc/im/qemu-probes.d \
    "$REMOTES"/etc/im/kvm-probes.d/secrets "$REMOTES"/etc/im/qemu-probes.d/secrets "$STATE" "$ETC" "$ETC/telemetry-secrets" \
    "$SBINDIR" "$BINDIR" "$UNITDIR"; do
    case $place in
    */\*) continue ;; # there is none
    "$ETC"/*) if [ -z "$TELEMETRYD" ] || [ ! -d "$place" ]; then continue; fi ;; # root makes it
    "$ETC" | "$SBINDIR" | "$UNITDIR") [ -n "$TELEMETRYD" ] || continue ;;
    "$BINDIR") is_root || continue ;;
    */vm/status) [ -n "$STATUS" ] || continue ;;
    */vm/execution) [ -n "$EXECUTION" ] || continue ;;
    esac
    if is_oneadmins "$place/x"; then echo "$place" >>"$WORK/places.oneadmin"; else echo "$place" >>"$WORK/places.ours"; fi
  done
  look_at_places
  while IFS="$TAB" read -r place above may_write <&8; do
    check_place "$place" "$above" "$may_write"
  done 8<"$WORK/places"
  [ "$FAILED" != "$1" ] || ok "places can be written and have room"
}
# $WORK/places: of each what there is of it, itself or a directory above, and whether that may be written: asked of the user
# who puts files there, as root may write everywhere, and oneadmin may not.
look_at_places() {
  # shellcheck disable=SC2016 # for the inner shell
  look='while IFS= read -r place; do
    above=$place
    while [ -n "$above" ] && [ ! -d "$above" ]; do above=${above%/*}; done
    above=${above:-/} may_write=no
    if [ -w "$above" ] && [ -x "$above" ]; then may_write=yes; fi
    printf "%s\t%s\t%s\n" "$place" "$above" "$may_write"
  done'
  sh -c "$look" <"$WORK/places.ours" >"$WORK/places"
  [ -s "$WORK/places.oneadmin" ] || return 0
  as_oneadmin sh -c "$look" <"$WORK/places.oneadmin" >>"$WORK/places" ||
    bad "nothing can be run as $ONEADMIN" "look at the account: $REMOTES is written by it"
}
check_place() { # DIRECTORY WHAT-THERE-IS MAY-WRITE
  # Ours with root as its owner is given to oneadmin: make_dir.
  if is_root && [ "$2" = "$1" ] && { listed dir "$1" || [ "$1" = "$REMOTES/hooks/telemetry" ]; }; then
    :
  elif [ "$3" != yes ]; then
    bad "$1 can't be written by $(user_at "$1")" "look at the owner and mode of $2, and whether its file system is read-only"
  fi
  free=$(df -Pk "$2" 2>/dev/null | { read -r _; read -r _ _ _ free _; echo "$free"; })
  if [ "${free:-999999}" -lt 20480 ]; then
    bad "$1 has $free KiB left" "make room: 20 MiB are wanted"
  fi
}
user_at() { at "$1/x" id -un; } # DIRECTORY

# --- sinks ---

# The configuration that the hosts will have, with the given secrets, is asked about by our forwarder.
check_sinks() {
  [ -n "$NATIVE" ] || return 0
  set -- "$WORK/builds/$NATIVE/forward"
  (cd "$WORK/check" && run_limited "$1" --check --config "$WORK/check/telemetry.conf") >"$WORK/said" 2>&1 </dev/null
  status=$?
  [ "$status" != 2 ] || bad "the configuration is wrong: $(head -n 1 "$WORK/said")" "mend $REMOTES/etc/im/kvm-probes.d/telemetry.conf, or the options given"
  [ "$status" != 1 ] || bad "forward --check failed: $(head -n 1 "$WORK/said")" "run it by hand"
  own='' # one of the endpoints is this front-end's
  while IFS= read -r line; do
    case $line in
    *": ok") ok "sink $line" ;;
    endpoint*) if [ -n "$TELEMETRYD" ] && [ -z "$own" ] && ! is_active; then own=yes; note "sink ${line%% *} is telemetryd, which is installed now"; else bad "sink $line" "see above"; fi ;;
    "No sink"*) note "no sink is configured: OpenNebula alone gets figures (--influx-url, --endpoint)" ;;
    *" at "*) bad "sink ${line%%: *}" "${line#*: }" ;;
    esac
  done <"$WORK/said"
}
is_active() { [ -d /run/systemd/system ] && systemctl is-active --quiet one-telemetryd; }

# --- hosts ---

# Copied there into a directory of its own, run once, removed; nothing that OpenNebula looks at is touched.
host_script() {
  printf 'programs="vm_monitor forward %s"\n' "$(stead_programs)"
  # shellcheck disable=SC2016 # for the host's shell
  printf '%s\n' 'd=$(mktemp -d /var/tmp/one-telemetry-check.XXXXXX) || exit 90' 'trap '\''cd /; rm -rf "$d"'\'' 0 1 2 15' \
    'cd "$d" && tar xf - || exit 91' 'echo "machine $(uname -m)"' \
    'for b in */; do b=${b%/}; of=; read -r of <"$b/machine"; [ "$of" = "$(uname -m)" ] || continue
      bad=; for p in $programs; do "./$b/$p" --version >said 2>&1 </dev/null || bad="$p: $(head -n 1 said)"; done
      if [ -z "$bad" ]; then echo "runs $b"; else echo "fails $b $bad"; fi; done'
  # shellcheck disable=SC2016
  printf 'sed -n "/^\[sink /,\$s/^[ \t]*url[ \t]*=[ \t]*/sends /p" %s/etc/im/kvm-probes.d/telemetry.conf 2>/dev/null\n' "$REMOTE_DIR"
  sums_script
}

# Sinks of a host that neither this tree has nor the one that is made: another front-end's, which would get nothing more.
# Where this front-end has synced the host before, somebody has edited the tree since.
check_host_sinks() { # HOST
  sed -n 's/^sends //p' "$WORK/host.$1" >"$WORK/sends"
  while IFS= read -r url; do
    ! cat "$WORK/kvm.conf" "$REMOTES/etc/im/kvm-probes.d/telemetry.conf" 2>/dev/null | grep '^[ \t]*url' | grep -q -F -e "$url" || continue
    if [ -n "$SINK_CHECK" ] && ! listed host "$1"; then
      bad "host $1 sends to $url, which this front-end does not know and would take away" \
        "is it another front-end's? Name each: --endpoint, more than once. Or bring its telemetry.conf with secrets/ here; or --no-sink-check"
    else
      note "host $1 sends to $url no more: it is not in telemetry.conf here"
    fi
  done <"$WORK/sends"
}

# $WORK/good: hosts that our probe runs on; $WORK/left: the others, "HOST why".
check_hosts() {
  : >"$WORK/good"
  : >"$WORK/left"
  tar -C "$WORK/builds" -chf "$WORK/builds.tar" .
  [ -s "$WORK/hosts" ] || { bad "OpenNebula has no host" "onehost create"; return; }
  for host in ${HOSTS:-$(cut -d ' ' -f 2 "$WORK/hosts")}; do
    case $(host_field "$host" 4) in
    "") bad "OpenNebula has no host $host" "onehost list says which there are"; continue ;;
    kvm | qemu) ;;
    *) note "host $host is no KVM host and is left alone"; continue ;;
    esac
    case $(host_field "$host" 3) in
    4 | 7 | 8) leave_out "$host" "is disabled or offline in OpenNebula; when it is back: install.sh --hosts $host"; continue ;;
    esac
    check_host "$host"
  done
  [ -s "$WORK/good" ] || bad "there is no host that can be installed on" "see above"
}
leave_out() { # HOST WHY
  printf '%s %s\n' "$1" "$2" >>"$WORK/left"
  printf 'LEFT    host %s %s\n' "$1" "$2"
}
check_host() { # HOST
  on_host "$1" "$(host_script)" <"$WORK/builds.tar" >"$WORK/host.$1" 2>"$WORK/said"
  status=$?
  machine=$(sed -n 's/^machine //p' "$WORK/host.$1")
  if [ -z "$machine" ]; then
    case $status in
    90 | 91) why="has no room in /var/tmp, or does not let $ONEADMIN write there" ;;
    *) why="can't be reached by ssh as $ONEADMIN ($(head -n 1 "$WORK/said")): ssh $1, as $ONEADMIN, says more" ;;
    esac
    leave_out "$1" "$why"
  elif grep -q '^runs [^/]*$' "$WORK/host.$1"; then
    sed -n 's/^runs \([^/]*\)$/\1/p' "$WORK/host.$1" | head -n 1 >"$WORK/build.$1"
    echo "$1" >>"$WORK/good"
    check_host_sinks "$1"
    ok "host $1: $machine, the probe runs there (build $(cat "$WORK/build.$1"))"
  elif grep -q '^fails ' "$WORK/host.$1"; then
    leave_out "$1" "can't run the probe: $(sed -n 's/^fails [^ ]* //p' "$WORK/host.$1" | head -n 1): install what is missing there, or give a build for it (--build)"
  else
    leave_out "$1" "is $machine, for which there is no build: make one on such a machine and give it too (--build)"
  fi
}
