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
    [ ! -f "$LIST" ] || while read -r host <&8; do enlist_if_real host "$host"; done 8<"$WORK/good"
    remove_hooks
    delete_keys
  fi
  remove_probes
  [ -n "$DESTDIR" ] || sync_without im/kvm-probes.d/vm/monitor/telemetry im/qemu-probes.d/vm/monitor/telemetry \
    im/kvm-probes.d/vm/status/telemetry im/qemu-probes.d/vm/status/telemetry \
    im/kvm-probes.d/vm/execution/telemetry im/qemu-probes.d/vm/execution/telemetry
  remove_files
  if [ -z "$DESTDIR" ]; then
    sync_without hooks/telemetry hooks/telemetry/forward hooks/telemetry/vm_event hooks/telemetry/one-telemetry \
      hooks/telemetry/vm_status hooks/telemetry/vm_exec etc/im/kvm-probes.d/telemetry.conf etc/im/qemu-probes.d/telemetry.conf etc/im/kvm-probes.d/secrets etc/im/qemu-probes.d/secrets \
      etc/im/kvm-probes.d/telemetry.conf.sample etc/im/qemu-probes.d/telemetry.conf.sample
    clean_hosts
    clean_front_end
  fi
  remove_list
  [ "$CHANGES" != 0 ] || say "  there is nothing of it"
  [ -z "$DRY_RUN" ] || { say "Nothing was done (--dry-run)."; exit 0; }
  say "Done"
  [ ! -s "$WORK/troubles" ] || { say "Not as it should be:"; sed 's/^/  /' "$WORK/troubles"; say "Run it again when that is mended."; exit 3; }
}

# $WORK/good: the hosts that have something of ours. OpenNebula syncs others than those of the list too, of its own accord or
# an operator's, so all are asked. Those of the list are taken anyhow: OpenNebula may still have keys of their VMs.
hosts_with_ours() {
  { listed_of host; awk '$4 == "kvm" || $4 == "qemu" { print $2 }' "$WORK/hosts"; } | sort -u >"$WORK/asked"
  while read -r host <&8; do
    if [ -z "$(host_field "$host" 1)" ]; then
      note "OpenNebula has no host $host any more"
    elif [ -z "$HOSTS" ] || is_in "$host" "$HOSTS"; then
      look_for_ours "$host"
    elif listed host "$host" || [ ! -f "$LIST" ]; then
      note "host $host is given up (--hosts): what it has stays there until it is synced"
    fi
  done 8<"$WORK/asked"
}
ours_script() {
  # shellcheck disable=SC2016 # for the host's shell
  printf '[ ! -d /var/tmp/one-telemetry-$(id -u) ] || echo ours; cd %s 2>/dev/null && for f in %s; do [ ! -e $f ] || echo ours; done; true' "$REMOTE_DIR" \
    'im/*-probes.d/vm/*/telemetry hooks/telemetry etc/im/*-probes.d/telemetry.conf etc/im/*-probes.d/telemetry.conf.sample'
}
# One that is away would keep the probe, and OpenNebula the keys of its VMs.
look_for_ours() { # HOST
  if on_host "$1" "$(ours_script)" </dev/null >"$WORK/has" 2>"$WORK/said"; then
    if [ -s "$WORK/has" ] || listed host "$1"; then
      echo "$1" >>"$WORK/good"
      ok "host $1 can be reached"
    fi
  elif listed host "$1"; then
    bad "host $1 can't be reached: $(head -n 1 "$WORK/said")" "bring it back first, or give it up: --hosts with the names of the others"
  else
    note "host $1 can't be reached; should it have got our files by another sync, when it is back: onehost sync --force $1"
  fi
}

check_uninstall() {
  TELEMETRYD=''
  roots=$(listed_of unit; listed_of file | grep -F -e "$SBINDIR/" -e "$BINDIR/" -e "$ETC/")
  if ! is_root && [ -n "$roots" ]; then
    bad "root's files are installed, which $(id -un) can't take out" "run it as root"
  else
    check_user
  fi
  check_commands
  servers=$(other_front_ends)
  [ -z "$servers" ] ||
    note "OpenNebula has several front-ends ($servers): the hooks and what the hosts have are taken from all of them. Take it out on each"
  : >"$WORK/good"
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
    if ! step "tell the probe to delete its keys ($conf)"; then
      if [ -f "$conf" ] && is_edited "$conf" && [ -z "$PURGE" ]; then foresee "$STATE/$tree.conf"; fi
      continue
    fi
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
    step "sync $host, so that the probe deletes its keys" || { foresee "host $host"; continue; }
    sync_host "$host" || trouble "host $host" "onehost sync failed: $(sync_said)"
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
  STATUS='' EXECUTION=''
  install_stead
  for tree in kvm qemu; do take_out "$REMOTES/im/$tree-probes.d/vm/monitor/telemetry"; done
}

remove_files() {
  remove_telemetryd
  UNITS=$(listed_of unit)
  for bit_of in $(listed_of bit); do give_bit_back "$bit_of"; done
  { listed_of file
    printf '%s\n' "$REMOTES/hooks/telemetry/forward" "$REMOTES/hooks/telemetry/vm_event" "$REMOTES/hooks/telemetry/one-telemetry" \
      "$REMOTES/hooks/telemetry/vm_status" "$REMOTES/hooks/telemetry/vm_exec"
    for tree in kvm qemu; do printf '%s\n' "$REMOTES/etc/im/$tree-probes.d/telemetry.conf.sample"; done; } >"$WORK/ours"
  grep -v -F -e "$STATE/" "$WORK/ours" | awk '!seen[$0]++' >"$WORK/ours.files"
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
    if [ -z "$(left_in "$directory")" ]; then
      if step "remove $directory"; then at "$directory" rmdir "$directory"; else foresee "$directory"; fi
    else
      say "  kept, as something is in it: $directory"
    fi
  done 8<"$WORK/ours"
}

left_in() { # DIRECTORY
  for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    { [ ! -e "$entry" ] && [ ! -L "$entry" ]; } || is_foreseen "$entry" || echo "$entry"
  done
}

remove_conf() { # PATH ASIDE: an edited one stays, as it was before we told the probe to leave
  if { [ -f "$2" ] || is_foreseen "$2"; } && [ -z "$PURGE" ]; then
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

# What the tree has no more, a host must not have either.
sync_without() { # PATHS: below the tree
  gone=''
  for path; do
    if [ ! -e "$REMOTES/$path" ] || is_foreseen "$REMOTES/$path"; then gone="$gone $path"; fi
  done
  while read -r host <&8; do
    if has_none "$host" && ! will_have_some "$host"; then continue; fi
    step "sync $host" || continue
    if ! sync_host "$host"; then
      trouble "host $host" "still has our files, as onehost sync failed: $(sync_said). When it is back: onehost sync --force $host"
    elif ! has_none "$host"; then
      trouble "host $host" "still has our files after onehost sync: $(sync_said). When it is enabled: onehost sync --force $host"
    fi
  done 8<"$WORK/good"
}
has_none() { # HOST: of $gone
  on_host "$1" "cd $REMOTE_DIR 2>/dev/null || exit 0; for f in $gone; do [ ! -e \$f ] || exit 9; done; exit 0" </dev/null 2>/dev/null
}
will_have_some() { # HOST: by a sync that a dry run has foreseen
  is_foreseen "host $1" || return 1
  for path in $gone; do [ ! -e "$REMOTES/$path" ] || return 0; done
  return 1
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
