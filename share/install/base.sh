# shellcheck shell=sh disable=SC2034,SC2153 # names that another part of install.sh sets or reads
# SPDX-License-Identifier: Apache-2.0
# What all of install.sh stands on: messages, the steps that change something, the list of what was installed, files.
#
# Whatever is about to be made is written into the list first, and made whole in one rename, so that after a kill -9 at
# any moment both another run and --uninstall know what there may be. The list, $LIST, has a line for each:
#   file PATH   dir PATH   conf PATH CHECKSUM   bit PATH MODE   hook NAME   unit NAME   host NAME   leave PATH MODE
# with tabs between. conf: a file that people edit; the checksum is of what we wrote. bit: OpenNebula's file whose executable
# bit we took. leave: a configuration in which --uninstall wrote "mode = leave", and the mode that it had; "given" since it
# has that again.

TAB=$(printf '\t')
CHANGES=0  # made, or with --dry-run to be made
STEPS=0

say() { printf '%s\n' "$*"; }
warn() { printf 'install.sh: %s\n' "$*" >&2; }
die() { # STATUS MESSAGE...
  die_status=$1
  shift
  warn "$*"
  exit "$die_status"
}

is_in() { # WORD LIST
  case " $2 " in *" $1 "*) return 0 ;; esac
  return 1
}

# Says what is done, or would be. False with --dry-run: the caller leaves it undone.
step() { # DESCRIPTION...
  CHANGES=$((CHANGES + 1))
  if [ -n "$DRY_RUN" ]; then
    say "  would $*"
    return 1
  fi
  say "  $*"
  moment
}

# With --dry-run: the paths that would be changed or gone by now, so that what comes later goes by that.
foresee() { printf '%s\n' "$1" >>"$WORK/foreseen"; }
is_foreseen() { [ -n "$DRY_RUN" ] && grep -q -F -x -e "$1" "$WORK/foreseen" 2>/dev/null; }
foreseen_below() { # DIRECTORY...
  [ -n "$DRY_RUN" ] && [ -f "$WORK/foreseen" ] || return 1
  for below; do
    ! awk -v top="$below/" 'index($0, top) == 1 && !/\.sample$/ { found = 1 } END { exit !found }' "$WORK/foreseen" || return 0
  done
  return 1
}

# For the tests: to be killed here, at the moment of that number; or to stop at each, until the test says what becomes of it.
moment() {
  STEPS=$((STEPS + 1))
  case ${ONE_TELEMETRY_KILL_AT:-} in
  "$STEPS") kill -9 $$ ;;
  each) kill -STOP $$ ;;
  esac
}

# --- the list of what was installed ---

listed() { # KIND PATH: whether it is in the list
  [ -f "$LIST" ] && grep -q -F -x -e "$1$TAB$2" "$LIST"
}
listed_of() { # KIND: what the list has of it, the last first, each once
  [ -f "$LIST" ] || return 0
  awk -F '\t' -v kind="$1" '$1 == kind && NF > 1 { line[++n] = $2 } END { for (; n; n--) if (!seen[line[n]]++) print line[n] }' "$LIST"
}
listed_value() { # KIND PATH: the last word that it has there
  [ -f "$LIST" ] || return 0
  awk -F '\t' -v kind="$1" -v path="$2" '$1 == kind && $2 == path && NF > 2 { value = $3 } END { print value }' "$LIST"
}
enlist() { # KIND PATH [VALUE]
  if [ $# -gt 2 ]; then
    [ "$(listed_value "$1" "$2")" != "$3" ] || return 0
    enlist_line=$1$TAB$2$TAB$3
  else
    ! listed "$1" "$2" || return 0
    enlist_line=$1$TAB$2
  fi
  # shellcheck disable=SC2016 # for the inner shell
  printf '%s\n' "$enlist_line" | at "$LIST" sh -c 'cat >>"$1"' sh "$LIST" || die 1 "cannot write $LIST"
}
enlist_if_real() { [ -n "$DRY_RUN" ] || enlist "$@"; }
# A line that a killed run did not end must not swallow the next. Made before anything else.
open_list() {
  [ -z "$DRY_RUN" ] || return 0
  # shellcheck disable=SC2016
  at "$STATE" sh -c 'mkdir -p -m 700 "$1" && : >>"$2" && { [ -z "$(tail -c 1 "$2")" ] || echo >>"$2"; }' sh "$STATE" "$LIST" ||
    die 1 "cannot write $LIST"
  exec 9<"$STATE"
  if command -v flock >/dev/null 2>&1 && ! flock -n 9; then die 1 "another install.sh is at work ($STATE)"; fi
}

# --- users ---

is_root() { [ "$OUR_ID" = 0 ]; }
# A command that outlives a killed install.sh does not hold its lock (descriptor 9).
run_limited() { timeout -k 5 "$COMMAND_SECONDS" "$@" 9<&-; }

# Runs a command as oneadmin, with its home and not ours. setpriv leaves no line in the log of logins for each.
as_oneadmin() {
  if ! is_root; then
    run_limited "$@"
  elif command -v setpriv >/dev/null 2>&1; then
    run_limited setpriv --reuid "$ONEADMIN_ID" --regid "$ONEADMIN_GROUP_ID" --init-groups \
      env HOME="$ONEADMIN_HOME" USER="$ONEADMIN" LOGNAME="$ONEADMIN" "$@"
  elif command -v runuser >/dev/null 2>&1; then
    run_limited runuser -u "$ONEADMIN" -- env HOME="$ONEADMIN_HOME" USER="$ONEADMIN" LOGNAME="$ONEADMIN" "$@"
  else
    run_limited sudo -n -u "$ONEADMIN" -- env HOME="$ONEADMIN_HOME" "$@"
  fi
}

# Whether oneadmin writes there: root that writes where oneadmin may put links would write where they lead to.
is_oneadmins() { # PATH
  case $1 in
  "$VAR"/* | "$ETC"/telemetry-secrets/*) [ -z "$DESTDIR" ] ;;
  *) return 1 ;;
  esac
}
# Runs a command as the user whose place PATH is in.
at() { # PATH COMMAND...
  at_path=$1
  shift
  if is_oneadmins "$at_path"; then as_oneadmin "$@"; else "$@"; fi
}

owner_of() { # LETTER: o is oneadmin, r is root, g is root with oneadmin's group
  case $1 in
  o) echo "$ONEADMIN:$ONEADMIN_GROUP" ;;
  g) echo "root:$ONEADMIN_GROUP" ;;
  *) echo root:root ;;
  esac
}
# As oneadmin all is oneadmin's; in a tree for a package (DESTDIR) by an ordinary user all is that user's.
give() { # PATH LETTER
  is_root || return 0
  [ -n "$ONEADMIN_HOME" ] || return 0
  chown -h "$(owner_of "$2")" "$1"
}

# --- files ---

# Probes of ours that can take the place of OpenNebula's, each in its own directory: "DIRECTORY PROGRAM STOCK".
STEAD='status vm_status state.rb
execution vm_exec exec.rb'
stead_path() { echo "$REMOTES/im/$1-probes.d/vm/$2/telemetry"; } # TREE DIRECTORY
# Of these programs those that are wanted.
stead_programs() { echo "$([ "$STATUS" != ours ] || echo vm_status) $([ "$EXECUTION" != ours ] || echo vm_exec)"; }
# Without a word it stays as it was installed.
settle_stead() {
  [ -n "$STATUS" ] || ! [ -e "$(stead_path kvm status)" ] || STATUS=ours
  [ -n "$EXECUTION" ] || ! [ -e "$(stead_path kvm execution)" ] || EXECUTION=ours
}
# Names of the programs that hosts get.
host_programs() {
  echo "vm_monitor forward vm_event one-telemetry $(stead_programs)"
}

sum_of() { cksum <"$1" 2>/dev/null | tr ' ' -; }
mode_of() { stat -c %a "$1" 2>/dev/null; }

is_owned() { # PATH LETTER
  if ! is_root || [ -z "$ONEADMIN_HOME" ]; then return 0; fi
  [ "$(stat -c %U:%G "$1")" = "$(owner_of "$2")" ]
}

make_dir() { # PATH MODE LETTER: with those above it
  # One that was made by a run which was killed then, or by make install as root.
  if [ -d "$1" ] && [ -z "$DRY_RUN" ] && ! is_owned "$1" "$3" && { listed dir "$1" || [ "$1" = "$REMOTES/hooks/telemetry" ]; }; then
    step "give $1 to its owner" && give "$1" "$3"
  fi
  if [ -d "$1" ] || { [ -n "$DRY_RUN" ] && grep -q -F -x -e "$1" "$WORK/planned" 2>/dev/null; }; then return 0; fi
  make_dir "${1%/*}" "${4:-$2}" "${5:-$3}"
  echo "$1" >>"$WORK/planned"
  step "make $1" || return 0
  enlist dir "$1"
  moment
  if ! at "$1" mkdir -m "$2" "$1" || ! own "$1" "$3"; then die 1 "cannot make $1"; fi
}

# OpenNebula runs every executable that it finds in a directory of probes, whatever it is called: what is not whole yet
# stands elsewhere in the remotes tree until it is renamed to its place.
new_name() { # PATH
  case $1 in
  "$REMOTES"/im/*) echo "$REMOTES/hooks/telemetry/.one-telemetry.new" ;;
  *) echo "${1%/*}/.one-telemetry.new" ;;
  esac
}

replace() { # FILE PATH MODE LETTER
  replace_new=$(new_name "$2")
  enlist file "$replace_new"
  moment
  # shellcheck disable=SC2016
  if ! at "$2" sh -c 'rm -f "$1" && (umask 077 && cat >"$1") && chmod "$2" "$1"' sh "$replace_new" "$3" <"$1" || ! own "$replace_new" "$4"; then
    at "$2" rm -f "$replace_new"
    die 1 "cannot write $replace_new; what was installed so far stays: mend it and run this again, or --uninstall"
  fi
  moment
  case $2 in
  "$SBINDIR"/* | "$UNITDIR"/* | "$ETC"/*) enlist pending restart yes ;;
  esac
  at "$2" mv -f "$replace_new" "$2" || die 1 "cannot rename $replace_new to $2"
}
# What was made by its owner is its owner's already.
own() { # PATH LETTER
  is_owned "$@" || give "$@"
}

is_same() { # FILE PATH MODE LETTER
  [ -f "$2" ] && [ ! -L "$2" ] && cmp -s "$1" "$2" && [ "$(mode_of "$2")" = "$3" ] && is_owned "$2" "$4"
}

put() { # FILE PATH MODE LETTER: the file is there, with that mode and owner
  if is_same "$@"; then
    enlist_if_real file "$2"
    return 0
  fi
  if [ -e "$2" ]; then put_verb=update; else put_verb=install; fi
  step "$put_verb $2" || { foresee "$2"; return 0; }
  enlist file "$2"
  replace "$@"
}

is_edited() { # PATH: since we wrote it, in whichever run
  ! { [ -f "$LIST" ] && grep -q -F -x -e "conf$TAB$1$TAB$(sum_of "$1")" "$LIST"; }
}

put_conf() { # FILE PATH MODE LETTER: likewise a file that people edit, of which FILE already has what they wrote
  if [ -f "$2" ] && cmp -s "$1" "$2"; then
    [ -n "$DRY_RUN" ] || [ -n "$(listed_value conf "$2")" ] || enlist conf "$2" "$(sum_of "$1")"
    return 0
  fi
  if [ -e "$2" ]; then put_verb=update; else put_verb=install; fi
  # What somebody has changed stays theirs after we have changed something else in it: then it has no checksum of ours.
  put_sum=$(sum_of "$1")
  if [ -e "$2" ] && is_edited "$2"; then put_sum=edited; fi
  step "$put_verb $2" || { foresee "$2"; return 0; }
  enlist conf "$2" "$put_sum"
  replace "$@"
}

take_out() { # PATH
  [ -e "$1" ] || [ -L "$1" ] || return 0
  ! is_foreseen "$1" || return 0
  step "remove $1" || { foresee "$1"; return 0; }
  at "$1" rm -f "$1" || warn "cannot remove $1"
}

# --- configuration ---

conf_get() { # FILE SECTION KEY: its value, where the line is no comment
  [ -f "$1" ] || return 0
  awk -v section="[$2]" -v key="$3" '
    { line = $0; sub(/^[ \t]+/, "", line); sub(/[ \t\r]+$/, "", line) }
    line ~ /^\[/ { inside = (line == section); next }
    inside && line ~ /^[^#]/ && index(line, "=") {
      name = substr(line, 1, index(line, "=") - 1); sub(/[ \t]+$/, "", name)
      if (name == key) { value = substr(line, index(line, "=") + 1); sub(/^[ \t]+/, "", value); print value; exit }
    }' "$1"
}

# Answers are kept in files of $WORK: SECTION KEY VALUE, tabs between, one a line. Sets these options, but for those that have
# that value, and leaves every other line as it is: in the place of the value it has, or behind the comment that shows its
# default, or at the end of its section, which is made where it is missing.
conf_apply() { # FILE ANSWERS
  [ -s "$2" ] || return 0
  awk '
    function trimmed(text) { sub(/^[ \t]+/, "", text); sub(/[ \t\r]+$/, "", text); return text }
    function name_of(text) {
      sub(/^[ \t]*#?/, "", text); if (!index(text, "=")) return ""
      text = substr(text, 1, index(text, "=") - 1); sub(/[ \t]+$/, "", text); return text
    }
    function value_of(text) { return trimmed(substr(text, index(text, "=") + 1)) }
    function answer(section, key, value,    i, text, inside, first, set, shown, last) {
      for (i = 1; i <= n; i++) {
        text = trimmed(line[i])
        if (text ~ /^\[/) inside = (text == section)
        if (inside && text ~ /^[^#]/) last = i
        if (!inside || name_of(line[i]) != key) continue
        if (text ~ /^#/) { if (!shown) shown = i } else { set = i; if (!first) first = i }
      }
      if (first && value_of(line[first]) == value) return
      changed = 1
      if (set) { line[set] = key " = " value; return }
      if (!shown && !last) {
        if (n) line[++n] = ""
        line[++n] = section
        last = n
      }
      if (!shown) shown = last
      for (i = n++; i > shown; i--) line[i + 1] = line[i]
      line[shown + 1] = key " = " value
    }
    FNR == NR { answers[++asked] = $0; next }
    { line[++n] = $0 }
    END {
      for (a = 1; a <= asked; a++) {
        section = key = value = answers[a]
        sub(/\t.*/, "", section); sub(/^[^\t]*\t/, "", key); sub(/\t.*/, "", key); sub(/^[^\t]*\t[^\t]*\t/, "", value)
        answer("[" section "]", key, value)
      }
      if (!changed) exit 3
      for (i = 1; i <= n; i++) print line[i]
    }' "$2" "$1" >"$1.set"
  case $? in
  0) mv "$1.set" "$1" || die 1 "cannot write $1" ;;
  3) ;;
  *) die 1 "cannot write $1" ;;
  esac
}
conf_set() { # FILE SECTION KEY VALUE
  printf '%s\t%s\t%s\n' "$2" "$3" "$4" >"$WORK/answer"
  conf_apply "$1" "$WORK/answer"
}
