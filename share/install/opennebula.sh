# shellcheck shell=sh disable=SC2034,SC2153 # names that another part of install.sh sets or reads
# SPDX-License-Identifier: Apache-2.0
# OpenNebula as install.sh sees it: what its commands answer, its hooks, its hosts and how they get the tree.

# XML as OpenNebula's commands print it, a line for each leaf: /HOST_POOL/HOST/NAME<tab>text.
xml_flat() {
  awk 'BEGIN { RS = "<" }
    function keep(part) { text = text part }
    NR == 1 { next }
    cdata { end = index($0, "]]>"); keep("<" (end ? substr($0, 1, end - 1) : $0)); cdata = !end; next }
    /^!\[CDATA\[/ { part = substr($0, 9); end = index(part, "]]>"); keep(end ? substr(part, 1, end - 1) : part); cdata = !end; next }
    /^[?!]/ { next }
    /^\// {
      if (leaf) { gsub(/[\n\t]/, " ", text); print path "\t" text }
      sub(/\/[^\/]*$/, "", path); text = ""; leaf = 0; next
    }
    { end = index($0, ">"); tag = substr($0, 1, end - 1); empty = tag ~ /\/$/; text = substr($0, end + 1)
      sub(/[ \t\n\/].*$/, "", tag)
      if (empty) { print path "/" tag "\t"; text = ""; leaf = 0 } else { path = path "/" tag; leaf = 1 } }'
}

# --- hooks ---

hook_ids() { # NAME: of the hooks that are called so; what onehook knows is in $WORK/hooks
  awk -F '\t' -v name="$1" '$1 ~ /\/HOOK\/ID$/ { id = $2 } $1 ~ /\/HOOK\/NAME$/ && $2 == name { print id }' "$WORK/hooks"
}
look_at_hooks() { as_oneadmin onehook list -x >"$WORK/hooks.xml" && xml_flat <"$WORK/hooks.xml" >"$WORK/hooks"; }

template_name() { sed -n 's/^[ \t]*NAME[ \t]*=[ \t]*"\{0,1\}\([^"]*\)"\{0,1\}[ \t]*$/\1/p' "$1" | head -n 1; }

# What onehook update wants, which knows no ON, and what onehook show has then: KEY="VALUE" lines.
template_for_update() { # FILE
  awk '
    BEGIN { split("PROLOG ACTIVE PROLOG RUNNING ACTIVE RUNNING SHUTDOWN ACTIVE EPILOG STOP STOPPED LCM_INIT DONE DONE LCM_INIT UNKNOWN ACTIVE UNKNOWN", word, " ")
            for (i = 1; i in word; i += 3) { state[word[i]] = word[i + 1]; lcm[word[i]] = word[i + 2] } }
    /^[ \t]*(#|$)/ { next }
    { key = $0; sub(/[ \t]*=.*$/, "", key); sub(/^[ \t]+/, "", key)
      value = substr($0, index($0, "=") + 1); sub(/^[ \t]*"?/, "", value); sub(/"?[ \t]*$/, "", value) }
    key == "NAME" || key == "TYPE" { next }
    key == "ON" { if (value in state) { print "STATE=\"" state[value] "\""; print "LCM_STATE=\"" lcm[value] "\"" } next }
    { print key "=\"" value "\"" }' "$1"
}

is_registered_so() { # ID FILE: the hook is as the template says; FILE as made by template_for_update
  awk -F '\t' -v wanted="$1" '$1 ~ /\/HOOK\/ID$/ { id = $2 }
    id == wanted && sub(/.*\/HOOK\/TEMPLATE\//, "", $1) { print $1 "=\"" $2 "\"" }' "$WORK/hooks" >"$WORK/hook.has"
  ! grep -v -F -x -f "$WORK/hook.has" "$2" | grep -q .
}

# onehook reads a file as oneadmin.
hook_file() { # FILE: prints where a copy is that oneadmin can read
  # shellcheck disable=SC2016
  at "$STATE/hook.tmpl" sh -c 'umask 077; cat >"$1"' sh "$STATE/hook.tmpl" <"$1"
}

register_hook() { # FILE
  hook=$(template_name "$1")
  ids=$(hook_ids "$hook")
  if [ -z "$ids" ]; then
    step "register hook $hook" || return 0
    enlist hook "$hook"
    hook_file "$1"
    moment
    as_oneadmin onehook create "$STATE/hook.tmpl" >"$WORK/said" 2>&1 || trouble "hook $hook" "$(cat "$WORK/said")"
    at "$STATE/hook.tmpl" rm -f "$STATE/hook.tmpl"
    return 0
  fi
  # shellcheck disable=SC2086 # numbers
  set -- "$1" $ids
  enlist_if_real hook "$hook"
  template_for_update "$1" >"$WORK/hook.wanted"
  if ! is_registered_so "$2" "$WORK/hook.wanted"; then
    if step "update hook $hook (number $2)"; then
      hook_file "$WORK/hook.wanted"
      if ! as_oneadmin onehook update "$2" "$STATE/hook.tmpl" >"$WORK/said" 2>&1; then replace_hook "$1" "$2"; fi
      at "$STATE/hook.tmpl" rm -f "$STATE/hook.tmpl"
    fi
  fi
  shift 2
  for id; do
    if step "remove the second hook $hook (number $id)"; then as_oneadmin onehook delete "$id"; fi
  done
}
# Where a version of OpenNebula wants something else for an update.
replace_hook() { # FILE ID
  hook_file "$1"
  if ! as_oneadmin onehook delete "$2" >"$WORK/said" 2>&1 || ! as_oneadmin onehook create "$STATE/hook.tmpl" >"$WORK/said" 2>&1; then
    trouble "hook $hook" "$(cat "$WORK/said")"
  fi
}

remove_hooks() {
  look_at_hooks || return 1
  { listed_of hook; for tmpl in "$TEMPLATES"/*.tmpl; do [ ! -f "$tmpl" ] || template_name "$tmpl"; done; } | sort -u >"$WORK/ours"
  while read -r hook; do
    for id in $(hook_ids "$hook"); do
      step "remove hook $hook (number $id)" || continue
      as_oneadmin onehook delete "$id" >"$WORK/said" 2>&1 </dev/null || trouble "hook $hook" "$(cat "$WORK/said")"
    done
  done <"$WORK/ours"
}

# --- front-ends ---

# Names of all servers of an OpenNebula in HA; nothing where there is one.
other_front_ends() {
  as_oneadmin onezone show -x 0 2>/dev/null </dev/null | xml_flat |
    awk -F '\t' '$1 ~ /\/SERVER\/NAME$/ { name[++n] = $2 } END { if (n > 1) for (i = 1; i <= n; i++) printf "%s%s", name[i], (i < n ? " " : "\n") }'
}

# --- hosts ---

# $WORK/hosts: ID NAME STATE IM_MAD, one a line.
look_at_hosts() {
  as_oneadmin onehost list -x >"$WORK/hosts.xml" || return 1
  xml_flat <"$WORK/hosts.xml" | awk -F '\t' '
    function out() { if (id != "") print id, name, state, (mad == "" ? "-" : mad) }
    $1 ~ /\/HOST\/ID$/ { out(); id = $2; name = state = mad = "" }
    $1 ~ /\/HOST\/NAME$/ { name = $2 } $1 ~ /\/HOST\/STATE$/ { state = $2 } $1 ~ /\/HOST\/IM_MAD$/ { mad = $2 }
    END { out() }' >"$WORK/hosts"
}
host_field() { awk -v name="$1" -v field="$2" '$2 == name { print $field; exit }' "$WORK/hosts"; }

# $WORK/vms: ID HOST of the running ones.
look_at_vms() {
  as_oneadmin onevm list -x >"$WORK/vms.xml" || return 1
  xml_flat <"$WORK/vms.xml" | awk -F '\t' '
    function out() { if (id != "" && lcm == 3 && host != "") print id, host }
    $1 ~ /\/VM\/ID$/ { out(); id = $2; lcm = host = "" }
    $1 ~ /\/VM\/LCM_STATE$/ { lcm = $2 } $1 ~ /\/HISTORY\/HOSTNAME$/ { host = $2 }
    END { out() }' >"$WORK/vms"
}

# The keys of a VM's monitoring that nobody but our probe writes, with their values, one line.
our_keys() { # VM
  as_oneadmin onevm show -x "$1" 2>/dev/null </dev/null | xml_flat |
    awk -F '\t' '$1 ~ /\/MONITORING\/(CPU_TIME|CPU_USAGE|CPU_STEAL|MEMORY_USAGE|MEMORY_SOURCE|MEMORY_RSS|MEMORY_AVAILABLE|DISKRD_LATENCY|DISKWR_LATENCY|NETRX_PACKETS|NETRX_DROPS|DISK_ERRORS)$/ {
      sub(/.*\//, "", $1); printf "%s%s=%s", (n++ ? " " : ""), $1, $2 }'
}

on_host() { # HOST SCRIPT: run there by oneadmin's shell, with our standard input
  as_oneadmin ssh -o BatchMode=yes -o ConnectTimeout=10 "$1" "$2"
}

# What a host, or the front-end's tree, has of our files, and whether poll.rb runs there.
sums_script() {
  # shellcheck disable=SC2016 # for the host's shell
  printf 'cd %s 2>/dev/null && { for f in $(find im/*-probes.d/vm/*/telemetry hooks/telemetry etc/im/*-probes.d/telemetry.conf etc/im/*-probes.d/secrets -type f ! -name .one-telemetry.new 2>/dev/null | sort); do cksum "$f"; done; for f in im/*-probes.d/vm/monitor/poll.rb im/*-probes.d/vm/status/state.rb im/*-probes.d/vm/execution/exec.rb; do [ ! -x "$f" ] || echo "enabled $f"; done; }; true' "$REMOTE_DIR"
}
tree_sums() { (cd "$REMOTES" && sh -c "$(REMOTE_DIR=$REMOTES sums_script)"); }

sync_host() { # HOST: the tree may be large, and the way narrow
  (COMMAND_SECONDS=600 && as_oneadmin onehost sync --force "$1") >"$WORK/said" 2>&1 </dev/null
}
# Its last line that says more than which hosts it was for.
sync_said() {
  awk '!/^[ \t]*$/ { if (!/^(\* |\[[0-9]+\/[0-9]+\] |Failed to update )/) why = $0; last = $0 }
    END { print (why != "" ? why : last != "" ? last : "it said nothing") }' "$WORK/said"
}
