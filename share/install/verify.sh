# shellcheck shell=sh disable=SC2034,SC2153 # names that another part of install.sh sets or reads
# SPDX-License-Identifier: Apache-2.0
# Whether what was installed works: figures in OpenNebula, points at the sinks, answers of the endpoint.

PAUSE=${ONE_TELEMETRY_PAUSE:-2} # seconds between two looks; the tests' clouds are quicker

# What OpenNebula and the sinks have of an earlier installation proves nothing: it has to move. Where they have nothing yet,
# whatever comes is of this one. Asked before a host is synced:
remember() { # HOST
  vm=$(vm_on "$1")
  [ -z "$vm" ] || our_keys "$vm" >"$WORK/keys.$1"
  : >"$WORK/sent.$1"
  if grep -q '^\[sink ' "$WORK/kvm.conf" && ask_sinks "$1"; then successes >"$WORK/sent.$1"; fi
}
# And once more when all are synced. A run of the probe that was there before ends by its deadline, 10 s, and so may its
# forwarder's request: what these still say must not count.
remember_anew() {
  while read -r host <&8; do
    [ ! -s "$WORK/keys.$host" ] && ! grep -q -v ' null$' "$WORK/sent.$host" || echo "$host"
  done 8<"$WORK/synced" >"$WORK/had"
  if [ -s "$WORK/had" ]; then for _ in 1 2 3 4 5; do sleep "$PAUSE"; done; fi
  while read -r host <&8; do
    [ ! -s "$WORK/keys.$host" ] || our_keys "$(vm_on "$host")" >"$WORK/keys.$host"
    if ! grep -q '^\[sink ' "$WORK/kvm.conf" || ! ask_sinks "$host"; then continue; fi
    successes | awk 'NR == FNR { if ($2 == "null") had_nothing[$1]; next } !($1 in had_nothing)' "$WORK/sent.$host" - >"$WORK/sent.anew"
    mv "$WORK/sent.anew" "$WORK/sent.$host"
  done 8<"$WORK/synced"
}
vm_on() { awk -v host="$1" '$2 == host { print $1; exit }' "$WORK/vms"; }

seconds() { date +%s; }

verify() {
  say "Verifying (at most $WAIT s)"
  remember_anew
  END=$(($(seconds) + WAIT))
  while read -r host <&8; do
    verify_host "$host"
  done 8<"$WORK/good"
  [ -z "$TELEMETRYD" ] || verify_endpoint
}

# The state probe must be able to say of all VMs what they do; it is asked without a trace.
verify_status() { # HOST
  [ "$STATUS" = ours ] || return 0
  if on_host "$1" "$REMOTE_DIR/im/kvm-probes.d/vm/status/telemetry --dry-run kvm $(host_field "$1" 1) $1" </dev/null >"$WORK/said" 2>"$WORK/why"; then
    ok "host $1: the state probe tells of $(grep -c '^VM' "$WORK/said") VMs"
  else
    trouble "host $1" "the state probe can't tell: $(head -n 1 "$WORK/why"). OpenNebula's own is given back by --beside"
  fi
}

verify_host() { # HOST
  vm=$(vm_on "$1")
  if grep -q -F -e "host $1:" "$WORK/troubles" 2>/dev/null; then return; fi
  verify_status "$1"
  if [ -z "$vm" ]; then
    note "host $1: no VM runs there, so there are no figures to see in OpenNebula"
  elif wait_for has_figures "$1" "$vm"; then
    ok "host $1: OpenNebula has our figures of VM $vm"
  else
    trouble "host $1" "no new figures of our probe in OpenNebula after $WAIT s (onevm show $vm). On the host, as $ONEADMIN: $REMOTE_DIR/im/kvm-probes.d/vm/monitor/telemetry kvm 0 $1; journalctl -t vm_monitor"
  fi
  if grep -q '^\[sink ' "$WORK/kvm.conf"; then verify_sinks "$1"; fi
}
wait_for() { # COMMAND...: until it is so, or time is up; it is asked once in any case
  until "$@"; do
    [ "$(seconds)" -lt "$END" ] || return 1
    sleep "$PAUSE"
  done
}
has_figures() { # HOST VM
  now=$(our_keys "$2")
  [ -n "$now" ] || return 1
  [ "$now" = "$(cat "$WORK/keys.$1" 2>/dev/null)" ] || return 0
  [ -f "$WORK/says.$1" ] || probe_says "$1" "$2" >"$WORK/says.$1"
  [ -s "$WORK/says.$1" ] && ! grep -q '^CPU_TIME=' "$WORK/says.$1"
}
# With little detail none of the keys has to move. Asked once, on the host: the lines of the probe's record.
probe_says() { # HOST VM
  on_host "$1" "$REMOTE_DIR/im/kvm-probes.d/vm/monitor/telemetry kvm $(host_field "$1" 1) $1" </dev/null 2>/dev/null |
    sed -n "s/^VM *= *\[ *ID=\"$2\",.*MONITOR=\"\([^\"]*\)\".*/\1/p" | base64 -d 2>/dev/null
}

# The forwarder beside the host's probe is asked how each sink does.
verify_sinks() { # HOST
  if wait_for has_sent "$1"; then
    ok "host $1: every sink has stored something ($(successes | cut -d ' ' -f 1 | tr '\n' ' ' | sed 's/ $//'))"
  elif [ -s "$WORK/sinks" ]; then
    idle=$(idle_sinks "$1" | head -n 1)
    error=$(grep -F "\"name\":\"$idle\"" "$WORK/sinks" | sed -n 's/.*"last_error":"\([^"]\{1,\}\)".*/\1/p')
    trouble "host $1" "sink $idle has stored nothing since: ${error:-no error is known}. On the host, as $ONEADMIN: $REMOTE_DIR/hooks/telemetry/forward --status"
  else
    trouble "host $1" "the forwarder there does not answer: $(head -n 1 "$WORK/said")"
  fi
}
ask_sinks() { # HOST: $WORK/sinks has a line of JSON for each
  on_host "$1" "$REMOTE_DIR/hooks/telemetry/forward --status --json --config $REMOTE_DIR/etc/im/kvm-probes.d/telemetry.conf" </dev/null 2>"$WORK/said" |
    awk '{ gsub(/\{"name"/, "\n\"name\""); print }' | grep '^"name".*"last_success"' >"$WORK/sinks"
  [ -s "$WORK/sinks" ]
}
# NAME and when it last stored something, by the host's clock, or null; of those in $WORK/sinks.
successes() { sed -n 's/^"name":"\([a-zA-Z0-9_-]*\)".*"last_success":"\{0,1\}\([^",]*\).*/\1 \2/p' "$WORK/sinks"; }
# Those that have stored nothing that was not there before, or have trouble now.
idle_sinks() { # HOST
  successes | while read -r sink success; do
    if [ "$success" = null ] || grep -q -F -x -e "$sink $success" "$WORK/sent.$1" 2>/dev/null ||
      ! grep -F "\"name\":\"$sink\"" "$WORK/sinks" | grep -q '"status":"ok"'; then echo "$sink"; fi
  done
}
has_sent() { ask_sinks "$1" && [ -z "$(idle_sinks "$1")" ]; } # HOST

# Asked as a host would, with the token that hosts have; nothing is written.
verify_endpoint() {
  port=$(conf_get "$ETC/telemetry.conf" server port)
  scheme=http
  [ -z "$(conf_get "$ETC/telemetry.conf" server cert_file)" ] || scheme=https
  listen=$(conf_get "$ETC/telemetry.conf" server listen)
  case $listen in
  '' | 0.0.0.0) listen=127.0.0.1 ;;
  ::) listen="[::1]" ;;
  *:*) listen="[$listen]" ;;
  esac
  url=$scheme://$listen:${port:-4126}
  { printf '[sink endpoint]\ntype = telemetryd\nurl = %s\nverify = no\n' "$url"
    token=$(conf_get "$ETC/telemetry.conf" server write_token_file)
    case $token in
    '') ;;
    /*) printf 'token_file = %s\n' "$token" ;;
    *) cat "$ETC/$token" >"$WORK/check/own.token" && printf 'token_file = own.token\n' ;;
    esac; } >"$WORK/check/own.conf"
  chmod -R go= "$WORK/check"
  if wait_for asks_endpoint; then
    ok "telemetryd answers at $url"
  else
    trouble telemetryd "does not answer: $(sed 's/^endpoint  telemetryd at //' "$WORK/said" | head -n 1). systemctl status one-telemetryd, or telemetryd --config $ETC/telemetry.conf, says why"
  fi
}
asks_endpoint() {
  run_limited "$WORK/builds/$NATIVE/forward" --check --config "$WORK/check/own.conf" >"$WORK/said" 2>&1 </dev/null
  endpoint_status=$?
  if [ "$endpoint_status" != 0 ] && [ ! -d /run/systemd/system ]; then END=0; fi # nobody starts it meanwhile
  [ "$endpoint_status" = 0 ]
}

finish() {
  say "Done"
  [ "$CHANGES" != 0 ] || say "  nothing was changed"
  say "  OpenNebula: onevm show of a running VM has our keys; Sunstone draws them"
  if grep -q '^\[sink ' "$WORK/kvm.conf"; then
    say "  sinks: $(sed -n 's/^\[sink \(.*\)\]/\1/p' "$WORK/kvm.conf" | tr '\n' ' ')- how they do: $REMOTE_DIR/hooks/telemetry/forward --status on a host, as $ONEADMIN"
  else
    say "  next: a database, with --influx-url; or the dashboard fed by all hosts, with --endpoint http://$(hostname -f 2>/dev/null || hostname):4126"
  fi
  if [ -n "$TELEMETRYD" ]; then
    url=$(conf_get "$WORK/kvm.conf" 'sink endpoint' url)
    say "  dashboard: ${url:-http://127.0.0.1:$(port=$(conf_get "$ETC/telemetry.conf" server port); echo "${port:-4126}")}/"
    token=$(conf_get "$ETC/telemetry.conf" server read_token_file)
    [ -z "$token" ] || say "    it asks for the token in $ETC/$token"
  fi
  say "  options: $REMOTES/etc/im/kvm-probes.d/telemetry.conf (and qemu-probes.d); run install.sh again to bring a change to the hosts"
  say "  should anything be wrong: one-telemetry doctor"
  [ ! -s "$WORK/left" ] || { say "Left as they were:"; sed 's/^\([^ ]*\)/  host \1/' "$WORK/left"
    [ "$STATUS" != ours ] || say "  state.rb does not run any more in the tree (--replace-status): nor are the states of their VMs told"
    [ "$EXECUTION" != ours ] || say "  exec.rb does not run any more in the tree (--replace-execution): nor the ends of commands in their guests"
    [ "$(conf_get "$WORK/kvm.conf" probe mode)" != replace ] ||
      say "  poll.rb does not run any more in the tree (--replace): a host of these that gets the tree has no figures of its VMs"; }
  [ ! -s "$WORK/troubles" ] || { say "Not as it should be:"; sed 's/^/  /' "$WORK/troubles"; }
  [ ! -s "$WORK/left" ] && [ "$TROUBLES" = 0 ] || exit 3
  exit 0
}
