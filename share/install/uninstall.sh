# shellcheck shell=sh disable=SC2034,SC2153 # names that another part of install.sh sets or reads
# SPDX-License-Identifier: Apache-2.0
# install.sh --uninstall: everything out again, in an order in which each step can be done again after an interruption.

uninstall() {
  say "Checking"
  [ -n "$DESTDIR" ] || { check_uninstall; [ "$FAILED" = 0 ] || die 1 "$FAILED of the checks failed; nothing was changed"; }
  ask "Take one-telemetry out?"
  say "Taking out"
  [ ! -d "$STATE" ] || open_list
  if [ -z "$DESTDIR" ]; then
    remove_hooks
    delete_keys
  fi
  remove_probes
  [ -n "$DESTDIR" ] || sync_without 'im/*-probes.d/vm/monitor/telemetry'
  remove_files
  if [ -z "$DESTDIR" ]; then
    sync_without 'hooks/telemetry etc/im/*-probes.d/telemetry.conf.sample'
    clean_hosts
    clean_front_end
  fi
  remove_list
  [ "$CHANGES" != 0 ] || say "  there is nothing of it"
  [ -z "$DRY_RUN" ] || { say "Nothing was done (--dry-run)."; exit 0; }
  say "Done"
  [ ! -s "$WORK/troubles" ] || { say "Not as it should be:"; sed 's/^/  /' "$WORK/troubles"; say "Run it again when that is mended."; exit 3; }
}

# $WORK/good: the hosts that have something of ours. Where the list is lost, or was never there (make install), all may.
hosts_with_ours() {
  if [ -f "$LIST" ]; then listed_of host; else awk '$4 == "kvm" || $4 == "qemu" { print $2 }' "$WORK/hosts"; fi | sort >"$WORK/listed"
  : >"$WORK/good"
  while read -r host <&8; do
    if [ -z "$(host_field "$host" 1)" ]; then
      note "OpenNebula has no host $host any more"
    elif [ -n "$HOSTS" ] && ! is_in "$host" "$HOSTS"; then
      note "host $host is given up (--hosts): what it has stays there until it is synced"
    else
      check_reachable "$host"
    fi
  done 8<"$WORK/listed"
}
is_in() { # WORD LIST
  case " $2 " in *" $1 "*) return 0 ;; esac
  return 1
}
# One that is away would keep the probe, and OpenNebula the keys of its VMs.
check_reachable() { # HOST
  if on_host "$1" true </dev/null >/dev/null 2>"$WORK/said"; then
    echo "$1" >>"$WORK/good"
    ok "host $1 can be reached"
  elif [ -f "$LIST" ]; then
    bad "host $1 can't be reached: $(head -n 1 "$WORK/said")" "bring it back first, or give it up: --hosts with the names of the others"
  fi
}

check_uninstall() {
  TELEMETRYD=''
  roots=$(listed_of unit; listed_of file | grep -F -e "$SBINDIR/" -e "$BINDIR/" -e "$ETC/")
  if [ "$(id -u)" != 0 ] && [ -n "$roots" ]; then
    bad "root's files are installed, which $(id -un) can't take out" "run it as root"
  else
    check_user
  fi
  check_commands
  servers=$(other_front_ends)
  [ -z "$servers" ] ||
    note "OpenNebula has several front-ends ($servers): the hooks and what the hosts have are taken from all of them. Take it out on each"
  [ ! -s "$WORK/hosts" ] || hosts_with_ours
}

# --- keys ---

ours_in_tree() { [ -e "$REMOTES/im/kvm-probes.d/vm/monitor/telemetry" ] || [ -e "$REMOTES/im/qemu-probes.d/vm/monitor/telemetry" ]; }

# OpenNebula keeps the last value of a key that is no longer sent. So first the probe is told to delete all of its own,
# and only when they are gone is it taken away. An edited configuration is put aside meanwhile.
delete_keys() {
  ours_in_tree || return 0
  for tree in kvm qemu; do
    conf=$REMOTES/etc/im/$tree-probes.d/telemetry.conf
    give_bit_back "$REMOTES/im/$tree-probes.d/vm/monitor/poll.rb"
    [ "$(conf_get "$conf" probe mode)" != leave ] || continue
    if [ -f "$conf" ]; then at "$conf" cat "$conf" >"$WORK/leave.conf"; else : >"$WORK/leave.conf"; fi
    conf_set "$WORK/leave.conf" probe mode leave
    step "tell the probe to delete its keys ($conf)" || continue
    if [ -f "$conf" ] && is_edited "$conf" && [ -z "$PURGE" ]; then
      at "$conf" cat "$conf" >"$WORK/aside"
      enlist file "$STATE/$tree.conf"
      replace "$WORK/aside" "$STATE/$tree.conf" 600 o
    fi
    enlist_leave "$conf"
    enlist file "$conf"
    replace "$WORK/leave.conf" "$conf" 640 o
  done
  while read -r host <&8; do
    step "sync $host, so that the probe deletes its keys" || continue
    sync_host "$host" || trouble "host $host" "onehost sync failed: $(tail -n 1 "$WORK/said")"
  done 8<"$WORK/good"
  [ -n "$DRY_RUN" ] || wait_for_deletion
}
# So that an installation after an interruption knows what was there: the mode; and that the file is ours as it was.
enlist_leave() { # PATH
  if [ ! -f "$1" ]; then
    enlist leave "$1" none
    return
  fi
  leave_before=$(conf_get "$1" probe mode)
  enlist leave "$1" "${leave_before:-unset}"
  is_edited "$1" || enlist conf "$1" "$(sum_of "$WORK/leave.conf")"
}
wait_for_deletion() {
  END=$(($(seconds) + WAIT))
  while read -r vm host <&8; do
    grep -q -F -x -e "$host" "$WORK/good" || continue
    wait_for has_no_keys "$vm" || trouble "VM $vm on $host" "OpenNebula still has keys of our probe; they go with the VM"
  done 8<"$WORK/vms"
}
has_no_keys() { [ -z "$(our_keys "$1")" ]; }

# --- files ---

# Before its configuration: a cycle that runs while the host is synced must not find the probe without the word to leave.
remove_probes() {
  for tree in kvm qemu; do take_out "$REMOTES/im/$tree-probes.d/vm/monitor/telemetry"; done
}

remove_files() {
  remove_telemetryd
  UNITS=$(listed_of unit)
  for bit_of in $(listed_of bit); do give_bit_back "$bit_of"; done
  { listed_of file
    printf '%s\n' "$REMOTES/hooks/telemetry/forward" "$REMOTES/hooks/telemetry/vm_event" "$REMOTES/hooks/telemetry/one-telemetry"
    for tree in kvm qemu; do printf '%s\n' "$REMOTES/etc/im/$tree-probes.d/telemetry.conf.sample"; done; } >"$WORK/ours"
  grep -v -F -e "$STATE/" "$WORK/ours" >"$WORK/ours.files"
  while IFS= read -r file <&8; do
    case $file in
    */telemetry.conf) ;; # below
    *) take_out "$file" ;;
    esac
  done 8<"$WORK/ours.files"
  if [ -n "$UNITS" ] && [ -z "$DRY_RUN" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  for tree in kvm qemu; do remove_conf "$REMOTES/etc/im/$tree-probes.d/telemetry.conf" "$STATE/$tree.conf"; done
  remove_conf "$ETC/telemetry.conf" "$STATE/front-end.conf"
  { listed_of dir; listed dir "$REMOTES/hooks/telemetry" || echo "$REMOTES/hooks/telemetry"; } >"$WORK/ours"
  while IFS= read -r directory <&8; do
    [ -d "$directory" ] || continue
    if [ -n "$DRY_RUN" ] || [ -z "$(ls -A "$directory")" ]; then
      if step "remove $directory"; then at "$directory" rmdir "$directory"; fi
    else
      say "  kept, as something is in it: $directory"
    fi
  done 8<"$WORK/ours"
}

remove_conf() { # PATH ASIDE: an edited one stays, as it was before we told the probe to leave
  if [ -f "$2" ] && [ -z "$PURGE" ]; then
    if step "put $1 back, which was edited"; then
      at "$2" cat "$2" >"$WORK/aside"
      replace "$WORK/aside" "$1" 640 "$(case $1 in "$ETC"/*) echo g ;; *) echo o ;; esac)"
      enlist conf "$1" edited
      at "$2" rm -f "$2"
    fi
    say "  kept, as it was edited: $1"
  elif [ -f "$1" ] && [ -z "$PURGE" ] && is_edited "$1" && [ "$(conf_get "$1" probe mode)" != leave ]; then
    say "  kept, as it was edited: $1"
  else
    take_out "$1"
  fi
}

remove_telemetryd() {
  for unit in $(listed_of unit); do
    [ -d /run/systemd/system ] || continue
    systemctl is-enabled --quiet "$unit" 2>/dev/null || systemctl is-active --quiet "$unit" || continue
    if step "stop and disable $unit"; then systemctl disable --now "$unit" >/dev/null 2>&1; fi
  done
}

# --- hosts ---

sync_without() { # PATTERNS: of what a host must not have any more
  while read -r host <&8; do
    if on_host "$host" "cd $REMOTE_DIR && for f in $1; do [ -e \$f ] && exit 9; done; exit 0" </dev/null 2>"$WORK/said"; then
      continue
    fi
    step "sync $host" || continue
    sync_host "$host" || trouble "host $host" "still has our files, as onehost sync failed: $(tail -n 1 "$WORK/said"). When it is back: onehost sync --force $host"
  done 8<"$WORK/good"
}

# What a host keeps of us: the last sample, and what was not sent to the sinks.
clean_script() {
  # shellcheck disable=SC2016 # for the host's shell
  printf 'd=/var/tmp/one-telemetry-$(id -u); [ -d "$d" ] || exit 0
    n=$(find "$d/spool" -name "*.lp.gz" -type f 2>/dev/null | wc -l)
    if [ "$n" -gt 0 ] && [ -z "%s" ]; then echo "$n batches that were not sent stay in $d/spool"; exit 0; fi
    rm -rf "$d"' "$PURGE"
}
clean_hosts() {
  while read -r host <&8; do
    # shellcheck disable=SC2016 # for the host's shell
    on_host "$host" '[ ! -d /var/tmp/one-telemetry-$(id -u) ]' </dev/null >/dev/null 2>&1 && continue
    step "remove what the probe keeps on $host" || continue
    if on_host "$host" "$(clean_script)" </dev/null >"$WORK/said" 2>&1; then
      [ ! -s "$WORK/said" ] || say "    $(cat "$WORK/said"); --purge removes them"
    else
      trouble "host $host" "can't be reached: /var/tmp/one-telemetry-UID stays there ($(head -n 1 "$WORK/said"))"
    fi
  done 8<"$WORK/good"
}

clean_front_end() {
  [ -d "/var/tmp/one-telemetry-$(id -u "$ONEADMIN")" ] || [ -d /var/lib/one-telemetry ] || return 0
  [ -d "$STATE" ] || [ -n "$PURGE" ] || return 0
  step "remove what hooks and telemetryd keep here" || return 0
  as_oneadmin sh -c "$(clean_script)" >"$WORK/said" 2>&1 </dev/null
  [ ! -s "$WORK/said" ] || say "    $(cat "$WORK/said"); --purge removes them"
  if [ -d "/var/lib/one-telemetry" ]; then
    if [ -n "$PURGE" ]; then rm -rf /var/lib/one-telemetry; else say "    telemetryd's history stays in /var/lib/one-telemetry; --purge removes it"; fi
  fi
}

# The list goes last: until then another run knows what there may be.
remove_list() {
  [ -d "$STATE" ] || return 0
  [ "$TROUBLES" = 0 ] || return 0
  step "remove $STATE" || return 0
  at "$STATE" rm -rf "$STATE"
}
