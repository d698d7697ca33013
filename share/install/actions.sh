# shellcheck shell=sh disable=SC2034,SC2153 # names that another part of install.sh sets or reads
# SPDX-License-Identifier: Apache-2.0
# What install.sh puts where.

TROUBLES=0 # of which the end tells, with status 3 or 1
trouble() { # WHAT WHY
  printf 'FAILED  %s: %s\n' "$1" "$2"
  printf '%s: %s\n' "$1" "$2" >>"$WORK/troubles"
  TROUBLES=$((TROUBLES + 1))
}

# --- the remotes tree ---

# One build and every host can run it: the probe itself. Else the chooser: a host that got the tree by some other way,
# as with OpenNebula's next sync, would lose its monitoring to a probe that it can't run.
wants_chooser() {
  [ "$N_BUILDS" = 1 ] || return 0
  [ -z "$DESTDIR" ] || return 1
  [ "$(wc -l <"$WORK/good")" -lt "$(awk '$4 == "kvm" || $4 == "qemu"' "$WORK/hosts" | wc -l)" ]
}

install_tree() {
  make_dir "$REMOTES/hooks/telemetry" 755 o
  if wants_chooser; then
    install_builds
    install_programs "$CHOOSER"
  else
    install_programs
    remove_builds
  fi
}

# The forwarder first: the probe starts it.
install_programs() { # [CHOOSER]
  for program in forward vm_event one-telemetry; do
    [ -e "$WORK/builds/$NATIVE/$program" ] || continue
    put "${1:-$WORK/builds/$NATIVE/$program}" "$REMOTES/hooks/telemetry/$program" 755 o
  done
  for tree in kvm qemu; do
    make_dir "$REMOTES/im/$tree-probes.d/vm/monitor" 755 o
    put "${1:-$WORK/builds/$NATIVE/vm_monitor}" "$REMOTES/im/$tree-probes.d/vm/monitor/telemetry" 755 o
  done
  install_stead "$@"
}

install_builds() {
  for build in "$WORK/builds"/*; do
    to=$REMOTES/hooks/telemetry/builds/${build##*/}
    make_dir "$to" 755 o
    for program in $(host_programs); do
      [ ! -e "$build/$program" ] || put "$build/$program" "$to/$program" 755 o
    done
    put "$build/machine" "$to/machine" 644 o
  done
  for old in "$REMOTES/hooks/telemetry/builds"/*; do
    [ ! -d "$old" ] || [ -e "$WORK/builds/${old##*/}" ] || remove_build "$old"
  done
}
remove_build() { # DIRECTORY
  for old_file in "$1"/* "$1"/.one-telemetry.new; do take_out "$old_file"; done
  if step "remove $1"; then at "$1" rmdir "$1"; fi
}
remove_builds() {
  for old in "$REMOTES/hooks/telemetry/builds"/*; do
    [ ! -d "$old" ] || remove_build "$old"
  done
  if [ -d "$REMOTES/hooks/telemetry/builds" ] && step "remove $REMOTES/hooks/telemetry/builds"; then
    at "$REMOTES/hooks" rmdir "$REMOTES/hooks/telemetry/builds"
  fi
}

# --- configuration ---

answer() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; } # SECTION KEY VALUE

is_loopback() {
  case $1 in
  http://127.* | http://localhost | http://localhost:* | http://\[::1\]*) return 0 ;;
  esac
  return 1
}
port_of() { # URL
  case ${1#*://} in
  *:[0-9]*) echo "${1##*:}" | sed 's/[^0-9].*//' ;;
  esac
}

host_answers() {
  [ -z "$MODE" ] || answer probe mode "$MODE"
  if [ -n "$INFLUX_URL" ]; then
    answer 'sink influx' type "${INFLUX_TYPE:-influxdb1}"
    answer 'sink influx' url "$INFLUX_URL"
    [ -z "$INFLUX_DATABASE" ] || answer 'sink influx' database "$INFLUX_DATABASE"
    [ -z "$INFLUX_ORG" ] || answer 'sink influx' org "$INFLUX_ORG"
    [ -z "$INFLUX_BUCKET" ] || answer 'sink influx' bucket "$INFLUX_BUCKET"
    [ -z "$INFLUX_USER" ] || answer 'sink influx' user "$INFLUX_USER"
    [ -z "$PASSWORD_FILE" ] || answer 'sink influx' password_file secrets/influx.password
    [ -z "$TOKEN_FILE" ] || answer 'sink influx' token_file secrets/influx.token
  fi
  sink='sink endpoint' number=1
  for url in $ENDPOINTS; do
    answer "$sink" type telemetryd
    answer "$sink" url "$url"
    if has_endpoint_token; then answer "$sink" token_file secrets/endpoint.token; fi
    number=$((number + 1))
    sink="sink endpoint$number"
  done
}
# Given; or made, for a telemetryd of ours that others reach.
has_endpoint_token() { [ -n "$ENDPOINT_TOKEN" ] || { [ -n "$TELEMETRYD" ] && ! is_loopback "$ENDPOINT"; }; }
server_answers() {
  # Not the hooks' spool: telemetryd's forwarder would hold up theirs.
  [ -n "$(conf_get "$WORK/front-end.conf" spool dir)" ] || answer spool dir /var/lib/one-telemetry/spool
  [ -n "$ENDPOINT" ] && [ -z "$ENDPOINT_TOKEN" ] || return 0
  case $ENDPOINT in
  http:*) [ -z "$(port_of "$ENDPOINT")" ] || answer server port "$(port_of "$ENDPOINT")" ;;
  esac
  is_loopback "$ENDPOINT" && return
  # Behind https there is a proxy on this machine, or a certificate that an operator adds.
  case $ENDPOINT in http:*) answer server listen 0.0.0.0 ;; esac
  answer server read_token_file telemetry-secrets/read.token
  answer server write_token_file telemetry-secrets/write.token
}

# The configuration as it will be, in $WORK: of both trees, of telemetryd, and in check/ with the secrets, for the check.
# What is there and was not the untouched sample stays; only what the options say is changed in it.
begin_conf() { # PATH COPY
  if [ -f "$1" ] && ! cmp -s "$1" "$1.sample"; then at "$1" cat "$1" >"$2"; else cat "$SAMPLE" >"$2"; fi
}
# After an --uninstall that was interrupted: the edited file that it put aside; and of one that was not edited the mode
# that it had, as "leave" was not the operator's word.
begin_host_conf() { # TREE
  conf=$REMOTES/etc/im/$1-probes.d/telemetry.conf
  if [ -s "$STATE/$1.conf" ]; then
    at "$STATE/$1.conf" cat "$STATE/$1.conf" >"$WORK/$1.conf"
    return
  fi
  begin_conf "$conf" "$WORK/$1.conf"
  [ "$(conf_get "$WORK/$1.conf" probe mode)" = leave ] || return 0
  case $(listed_value leave "$conf") in
  '' | given) ;;
  none) cat "$SAMPLE" >"$WORK/$1.conf" ;;
  unset) grep -v -x 'mode = leave' "$WORK/$1.conf" >"$WORK/without" && mv "$WORK/without" "$WORK/$1.conf" ;;
  *) conf_set "$WORK/$1.conf" probe mode "$(listed_value leave "$conf")" ;;
  esac
}
prepare_configuration() {
  host_answers >"$WORK/answers"
  for tree in kvm qemu; do
    begin_host_conf $tree
    conf_apply "$WORK/$tree.conf" "$WORK/answers"
  done
  begin_conf "$ETC/telemetry.conf" "$WORK/front-end.conf"
  server_answers >"$WORK/server.answers"
  conf_apply "$WORK/front-end.conf" "$WORK/server.answers"
  prepare_secrets
  mkdir "$WORK/check"
  cp "$WORK/kvm.conf" "$WORK/check/telemetry.conf"
  cp -R "$WORK/secrets" "$WORK/check/secrets"
  for secret in "$REMOTES/etc/im/kvm-probes.d/secrets"/*; do
    [ ! -r "$secret" ] || [ -e "$WORK/check/secrets/${secret##*/}" ] || at "$secret" cat "$secret" >"$WORK/check/secrets/${secret##*/}"
  done
  chmod -R go= "$WORK/check"
}
prepare_secrets() {
  mkdir "$WORK/secrets" "$WORK/server.secrets"
  chmod 700 "$WORK/secrets" "$WORK/server.secrets"
  umask_before=$(umask)
  umask 077
  [ -z "$PASSWORD_FILE" ] || cat "$PASSWORD_FILE" >"$WORK/secrets/influx.password"
  [ -z "$TOKEN_FILE" ] || cat "$TOKEN_FILE" >"$WORK/secrets/influx.token"
  if [ -n "$ENDPOINT_TOKEN" ]; then
    cat "$ENDPOINT_TOKEN" >"$WORK/secrets/endpoint.token"
  elif [ -n "$ENDPOINT" ] && has_endpoint_token; then
    for token in read write; do
      if [ -s "$ETC/telemetry-secrets/$token.token" ]; then at "$ETC/telemetry-secrets/x" cat "$ETC/telemetry-secrets/$token.token"; else make_token; fi >"$WORK/server.secrets/$token.token"
    done
    cat "$WORK/server.secrets/write.token" >"$WORK/secrets/endpoint.token"
  fi
  umask "$umask_before"
}
make_token() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n' && echo; }

put_secrets() { # FROM TO: directories
  for secret in "$1"/*; do
    [ -f "$secret" ] || continue
    make_dir "$2" 700 o
    put "$secret" "$2/${secret##*/}" 600 o
  done
}

install_configuration() {
  for tree in kvm qemu; do
    place=$REMOTES/etc/im/$tree-probes.d
    make_dir "$place" 755 o
    put_secrets "$WORK/secrets" "$place/secrets"
    put_conf "$WORK/$tree.conf" "$place/telemetry.conf" 640 o
    take_out "$STATE/$tree.conf"
    [ -z "$(listed_value leave "$place/telemetry.conf")" ] || enlist_if_real leave "$place/telemetry.conf" given
    put "$SAMPLE" "$place/telemetry.conf.sample" 644 o
  done
  place_poll
}

# poll.rb runs or does not, as the configuration says.
place_poll() {
  for tree in kvm qemu; do
    poll=$REMOTES/im/$tree-probes.d/vm/monitor/poll.rb
    if [ "$(conf_get "$WORK/$tree.conf" probe mode)" = replace ]; then
      take_bit "$poll"
    else
      give_bit_back "$poll"
    fi
  done
}
take_bit() { # PATH
  if [ ! -x "$1" ] || is_foreseen "$1"; then return 0; fi
  step "take the executable bit from $1" || { foresee "$1"; return 0; }
  enlist bit "$1" "$(mode_of "$1")"
  moment
  at "$1" chmod a-x "$1"
}
give_bit_back() { # PATH
  bit=$(listed_value bit "$1")
  case $bit in '' | given) return 0 ;; esac
  if [ -f "$1" ] && [ ! -x "$1" ] && ! is_foreseen "$1"; then
    step "give $1 its executable bit back" || { foresee "$1"; return 0; }
    at "$1" chmod "$bit" "$1"
  fi
  enlist_if_real bit "$1" given # whoever takes it from now on has a reason of their own
}

# --- probes in the place of OpenNebula's ---

# Of the state probes one is executed at every moment: while both are, ours leaves the work to the other. Of those that ask
# for commands never both: an agent tells but once that a process has ended.
install_stead() { # [CHOOSER]
  for tree in kvm qemu; do
    printf '%s\n' "$STEAD" >"$WORK/stead"
    while read -r directory program stock <&8; do
      place_stead "$tree" "$directory" "$program" "$REMOTES/im/$tree-probes.d/vm/$directory/$stock" "$@"
    done 8<"$WORK/stead"
  done
}
place_stead() { # TREE DIRECTORY PROGRAM STOCK [CHOOSER]
  ours=$(stead_path "$1" "$2")
  if ! is_in "$3" "$(stead_programs)"; then
    [ "$2" != execution ] || take_out "$ours"
    give_bit_back "$4"
    take_out "$ours"
    return 0
  fi
  [ "$2" != execution ] || take_bit "$4"
  make_dir "${ours%/*}" 755 o
  put "${5:-$WORK/builds/$NATIVE/$3}" "$ours" 755 o
  take_bit "$4"
}

# --- telemetryd ---

put_unit() { # NAME
  sed "s|/usr/local/sbin|${SBINDIR#"$DESTDIR"}|; s|/var/lib/one/remotes|${REMOTES#"$DESTDIR"}|" "$SERVICES/$1" >"$WORK/unit"
  make_dir "$UNITDIR" 755 r
  put "$WORK/unit" "$UNITDIR/$1" 644 r
}

install_telemetryd() {
  program=$(find_program "$NATIVE_DIR" telemetryd)
  if [ -n "$program" ]; then
    make_dir "$SBINDIR" 755 r
    put "$program" "$SBINDIR/telemetryd" 755 r
    put_unit one-telemetryd.service
  fi
  make_dir "$ETC" 750 g
  put_secrets "$WORK/server.secrets" "$ETC/telemetry-secrets"
  put_conf "$WORK/front-end.conf" "$ETC/telemetry.conf" 640 g
  put "$SAMPLE" "$ETC/telemetry.conf.sample" 644 g
}

# In the tree it is for the hosts; here for everybody, unless a package has brought it.
install_doctor() {
  if ! is_root && [ -z "$DESTDIR" ]; then return 0; fi
  doctor=$(find_program "$NATIVE_DIR" one-telemetry)
  packaged=$(command -v one-telemetry)
  if [ -n "$doctor" ] && [ "${packaged:-$BINDIR/one-telemetry}" = "$BINDIR/one-telemetry" ]; then
    make_dir "$BINDIR" 755 r
    put "$doctor" "$BINDIR/one-telemetry" 755 r
  fi
}

start_unit() { # UNIT NAME: false: it runs already, and will
  if systemctl is-enabled --quiet "$1" 2>/dev/null && systemctl is-active --quiet "$1"; then return 1; fi
  step "start $2 now and whenever this machine starts" || return 0
  enlist unit "$1"
  systemctl daemon-reload
  systemctl enable --now "$1" >"$WORK/said" 2>&1 || trouble "$2" "systemctl status $1 says why it did not start"
}

start_telemetryd() {
  [ -n "$TELEMETRYD" ] || return 0
  if [ ! -d /run/systemd/system ]; then
    say "  systemd does not run here: telemetryd has to be started by hand, as $ONEADMIN: $SBINDIR/telemetryd"
    return 0
  fi
  if start_unit one-telemetryd.service telemetryd; then
    enlist_if_real pending restart no
  elif [ "$(listed_value pending restart)" = yes ] || foreseen_below "$SBINDIR" "$UNITDIR" "$ETC"; then
    step "restart telemetryd" || return 0
    systemctl daemon-reload
    systemctl restart one-telemetryd || trouble telemetryd "systemctl status one-telemetryd says why it did not start"
    enlist pending restart no
  fi
}

# --- the timer: what the state hook could not send ---

TIMER=one-telemetry-forward
install_timer() {
  if [ -n "$DESTDIR" ] || is_root; then
    # A package may have brought them.
    for unit in service timer; do
      if [ -n "$DESTDIR" ] || [ ! -f "/lib/systemd/system/$TIMER.$unit" ]; then put_unit "$TIMER.$unit"; fi
    done
  fi
}
start_timer() {
  if ! is_root || [ ! -d /run/systemd/system ]; then
    say "  no timer of systemd's: so that events which a sink was down for are sent later, have $ONEADMIN's crontab start"
    say "    */2 * * * * ${REMOTES#"$DESTDIR"}/hooks/telemetry/forward --once"
    return 0
  fi
  start_unit "$TIMER.timer" "$TIMER.timer"
}

# --- hooks and hosts ---

register_hooks() {
  for tmpl in "$TEMPLATES"/*.tmpl; do
    [ ! -f "$tmpl" ] || register_hook "$tmpl"
  done
}

# One after another, so that a mistake nobody thought of is seen at the first. Those that have it all are passed over.
sync_hosts() {
  total=$(wc -l <"$WORK/good" | tr -d ' ')
  number=0
  tree_sums >"$WORK/tree.sums"
  : >"$WORK/synced"
  tree_stays=yes
  ! foreseen_below "$REMOTES" || tree_stays=''
  while read -r host <&8; do
    number=$((number + 1))
    [ -n "$DRY_RUN" ] || remember "$host"
    if grep -E '^([0-9]+ |enabled )' "$WORK/host.$host" | cmp -s - "$WORK/tree.sums" && [ -n "$tree_stays" ]; then
      enlist_if_real host "$host"
      continue
    fi
    step "sync $number/$total $host" || continue
    enlist host "$host"
    moment
    if ! sync_host "$host"; then
      trouble "host $host" "onehost sync failed: $(sync_said)"
    elif ! on_host "$host" "$(sums_script)" </dev/null 2>/dev/null | cmp -s - "$WORK/tree.sums"; then
      trouble "host $host" "does not have the tree after onehost sync: $(sync_said)"
    else
      say "    ok"
      echo "$host" >>"$WORK/synced"
    fi
  done 8<"$WORK/good"
}
