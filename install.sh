#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh: brings one-telemetry into an OpenNebula front-end and onto its hosts, and takes it out again. --help says
# how. Its parts are in share/install.
set -u
LC_ALL=C
export LC_ALL

usage() {
  cat <<'END'
usage: install.sh [options]

Installs one-telemetry on this OpenNebula front-end and on its KVM hosts: the probe, the forwarder, the state hooks,
telemetryd. First everything is checked, and nothing is changed when a check fails. It can be run again at any time, to
upgrade, to change an option, or after it was interrupted; what is there already is left alone. Run it as root, or as
oneadmin with --no-telemetryd.

What is installed
  --build DIR           programs as make leaves them (default: build beside this file, or what the package brought).
                        Once for each kind of host where they differ, as --build build-debian12 --build build-alma9;
                        the probe then starts the one that runs on its host
  --beside              the probe stands beside OpenNebula's poll.rb (default at the first installation), and OpenNebula's
                        other probes do their work
  --replace             instead of it: poll.rb loses its executable bit, until --beside or --uninstall; imported VMs
                        whose domains are not named one-ID get no figures then
  --replace-status      vm_status instead of OpenNebula's state.rb, which tells of VMs' states; likewise
  --replace-execution   vm_exec instead of its exec.rb, which tells of commands in guests; likewise
  --hosts NAME,...      only these hosts get it now (default: all KVM hosts of OpenNebula); with --uninstall: only from
                        these it is taken
  --no-telemetryd       without the JSON endpoint and dashboard
  --no-hooks            without the hooks that tell of VMs' states

Where the data goes (written into telemetry.conf, which has more options; without these it stays as it is)
  --influx-url URL      a database that takes line protocol, as http://influx.example.net:8086
  --influx-type TYPE    influxdb1 (default), influxdb2, influxdb3 or victoriametrics
  --influx-database DB  of InfluxDB 1 and 3
  --influx-org ORG      of InfluxDB 2
  --influx-bucket NAME  of InfluxDB 2
  --influx-user USER    of InfluxDB 1, with --password-file
  --password-file FILE  holds that user's password; is copied
  --token-file FILE     holds the database's token; is copied
  --no-sink-check       do not ask the sinks first: this front-end can't reach them, or they are down; and take from hosts
                        the sinks that this front-end does not know
  --endpoint URL        the address at which hosts reach the telemetryd of this front-end, as http://front-end:4126.
                        Unless it is a loopback's, telemetryd listens on all addresses, with tokens that are made.
                        Of several front-ends (HA) each is named, by the same words on each of them
  --endpoint-token-file FILE
                        holds the token for writing of a telemetryd that is elsewhere; is copied

How
  --dry-run             check, and print every action that would be taken; do nothing
  --wait SECONDS        how long to wait, at most, for a host's first figures (default 150)
  --yes                 ask nothing
  --uninstall           take everything out: hooks, files, what the hosts have, our keys in OpenNebula, and give poll.rb
                        its bit back. What stays: a telemetry.conf that was edited, and data that was not sent yet
  --purge               with --uninstall: these too, and telemetryd's history
  --help                this text

Environment
  DESTDIR               in front of every path, for a tree that is looked at or packed: no command of OpenNebula is run
  ONEADMIN              OpenNebula's user (default oneadmin)
  ONE_LOCATION          of an OpenNebula that is installed in a directory of its own

Exit status: 0 done; 1 a check or an action failed (after a failed check nothing was changed); 2 wrong usage; 3 installed,
but something is left: a host that was left as it was, or figures that did not arrive in time. The last lines say what.
END
}

HERE=$(dirname "$(readlink -f "$0")")
for PARTS in "$HERE/share/install" "$HERE/install" "$HERE/../share/one-telemetry/install" /usr/share/one-telemetry/install; do
  [ ! -f "$PARTS/base.sh" ] || break
done
SHARE=$(dirname "$PARTS")
# shellcheck source=share/install/base.sh
. "$PARTS/base.sh"
# shellcheck source=share/install/opennebula.sh
. "$PARTS/opennebula.sh"
# shellcheck source=share/install/checks.sh
. "$PARTS/checks.sh"
# shellcheck source=share/install/actions.sh
. "$PARTS/actions.sh"
# shellcheck source=share/install/verify.sh
. "$PARTS/verify.sh"
# shellcheck source=share/install/uninstall.sh
. "$PARTS/uninstall.sh"

DRY_RUN='' BUILDS='' MODE='' STATUS='' EXECUTION='' HOSTS='' TELEMETRYD=yes HOOKS=yes SINK_CHECK=yes YES='' UNINSTALL='' PURGE='' WAIT=150
INFLUX_URL='' INFLUX_TYPE='' INFLUX_DATABASE='' INFLUX_ORG='' INFLUX_BUCKET='' INFLUX_USER='' PASSWORD_FILE='' TOKEN_FILE=''
ENDPOINT='' ENDPOINTS='' ENDPOINT_TOKEN=''

wrong() {
  warn "$1; see --help"
  exit 2
}
one_line() { # VALUE: what can stand in telemetry.conf
  case $1 in
  *[\\\"]* | *"
"* | '' | '#'*) return 1 ;;
  esac
}

parse() {
  while [ $# -gt 0 ]; do
    option=$1
    shift
    case $option in
    --*=*) set -- "${option#*=}" "$@" && option=${option%%=*} ;;
    esac
    case $option in
    --build | --hosts | --wait | --influx-* | --password-file | --token-file | --endpoint | --endpoint-token-file)
      [ $# -gt 0 ] || wrong "$option wants a value"
      value=$1
      shift
      one_line "$value" || wrong "$option: no quotation marks, backslashes and newlines, please: $value"
      ;;
    esac
    case $option in
    --help | -h) usage && exit 0 ;;
    --dry-run | -n) DRY_RUN=yes ;;
    --build)
      case $value in *[[:space:]]*) wrong "--build: a directory without blanks in its name, please: $value" ;; esac
      [ -d "$value" ] || wrong "--build: there is no directory $value"
      BUILDS="$BUILDS${BUILDS:+ }$(cd "$value" && pwd)"
      ;;
    --replace) MODE=replace ;;
    --replace-status) STATUS=ours ;;
    --replace-execution) EXECUTION=ours ;;
    --beside) MODE=beside STATUS=${STATUS:-stock} EXECUTION=${EXECUTION:-stock} ;;
    --hosts) HOSTS=$(printf %s "$value" | tr , ' ') ;;
    --no-telemetryd) TELEMETRYD='' ;;
    --no-hooks) HOOKS='' ;;
    --no-sink-check) SINK_CHECK='' ;;
    --influx-url) INFLUX_URL=$value ;;
    --influx-type) INFLUX_TYPE=$value ;;
    --influx-database) INFLUX_DATABASE=$value ;;
    --influx-org) INFLUX_ORG=$value ;;
    --influx-bucket) INFLUX_BUCKET=$value ;;
    --influx-user) INFLUX_USER=$value ;;
    --password-file) PASSWORD_FILE=$value ;;
    --token-file) TOKEN_FILE=$value ;;
    --endpoint-token-file) ENDPOINT_TOKEN=$value ;;
    --endpoint)
      case $value in *[[:space:]]*) wrong "--endpoint: a URL without blanks, please: $value" ;; esac
      ENDPOINT=${ENDPOINT:-${value%/}}
      is_in "${value%/}" "$ENDPOINTS" || ENDPOINTS="$ENDPOINTS${ENDPOINTS:+ }${value%/}"
      ;;
    --wait)
      case $value in *[!0-9]* | '') wrong "--wait takes a number of seconds" ;; esac
      WAIT=$value
      ;;
    --yes | -y) YES=yes ;;
    --uninstall) UNINSTALL=yes ;;
    --purge) PURGE=yes ;;
    *) wrong "unknown option or argument $option" ;;
    esac
  done
}

check_usage() {
  [ -z "$PURGE" ] || [ -n "$UNINSTALL" ] || wrong "--purge goes with --uninstall"
  [ -n "$INFLUX_URL" ] || [ -z "$INFLUX_TYPE$INFLUX_DATABASE$INFLUX_ORG$INFLUX_BUCKET$INFLUX_USER$PASSWORD_FILE$TOKEN_FILE" ] ||
    wrong "the options --influx-*, --password-file and --token-file go with --influx-url"
  case $INFLUX_TYPE in
  '' | influxdb1 | influxdb2 | influxdb3 | victoriametrics) ;;
  *) wrong "--influx-type: influxdb1, influxdb2, influxdb3 or victoriametrics" ;;
  esac
  for url in "$INFLUX_URL" $ENDPOINTS; do
    case $url in
    '' | http://?* | https://?*) ;;
    *) wrong "a URL begins with http:// or https://: $url" ;;
    esac
  done
  [ -z "$ENDPOINT_TOKEN" ] || [ -n "$ENDPOINT" ] || wrong "--endpoint-token-file goes with --endpoint"
  for file in "$PASSWORD_FILE" "$TOKEN_FILE" "$ENDPOINT_TOKEN"; do
    [ -z "$file" ] || { [ -r "$file" ] && [ -s "$file" ]; } || wrong "$file can't be read, or is empty"
  done
  if [ -n "$INFLUX_USER" ] && [ -z "$PASSWORD_FILE" ]; then wrong "--influx-user goes with --password-file"; fi
}

settle() {
  DESTDIR=${DESTDIR:-}
  OUR_ID=$(id -u)
  ONEADMIN=${ONEADMIN:-oneadmin}
  ONEADMIN_HOME=$(getent passwd "$ONEADMIN" | cut -d : -f 6)
  ONEADMIN_ID=$(id -u "$ONEADMIN" 2>/dev/null)
  ONEADMIN_GROUP=$(id -gn "$ONEADMIN" 2>/dev/null)
  ONEADMIN_GROUP_ID=$(id -g "$ONEADMIN" 2>/dev/null)
  if [ -n "${ONE_LOCATION:-}" ]; then
    VAR=$DESTDIR$ONE_LOCATION/var ETC=$DESTDIR$ONE_LOCATION/etc PATH=$ONE_LOCATION/bin:$PATH
  else
    VAR=$DESTDIR/var/lib/one ETC=$DESTDIR/etc/one
  fi
  REMOTES=$VAR/remotes
  STATE=$VAR/one-telemetry
  LIST=$STATE/installed
  SBINDIR=$DESTDIR/usr/local/sbin BINDIR=$DESTDIR/usr/local/bin UNITDIR=$DESTDIR/usr/local/lib/systemd/system
  COMMAND_SECONDS=120
  REMOTE_DIR=$(sed -n 's/^[[:space:]]*SCRIPTS_REMOTE_DIR[[:space:]]*=[[:space:]]*"\{0,1\}\([^"]*\)"\{0,1\}.*/\1/p' "$ETC/oned.conf" 2>/dev/null | tail -n 1)
  REMOTE_DIR=${REMOTE_DIR:-/var/tmp/one}
  TEMPLATES=$HERE/hooks/templates
  [ -d "$TEMPLATES" ] || TEMPLATES=$SHARE/hooks
  CHOOSER=$HERE/probes/chooser.sh
  [ -f "$CHOOSER" ] || CHOOSER=$PARTS/chooser.sh
  SAMPLE=$SHARE/telemetry.conf
  SERVICES=$SHARE/systemd
  if [ -z "$BUILDS" ]; then
    if [ -d "$HERE/build" ]; then BUILDS=$HERE/build; else find_packaged_builds; fi
  fi
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/one-telemetry-install.XXXXXX") || die 1 "cannot make a directory for temporary files"
  chmod 700 "$WORK"
  trap 'rm -rf "$WORK"' 0
  trap 'exit 130' INT TERM HUP
}

# Of the package, and those of other kinds that were put beside it; a link leads to one of them.
find_packaged_builds() {
  for build in /usr/lib/one-telemetry/* /usr/local/lib/one-telemetry/*; do
    [ -h "$build" ] || [ ! -e "$build/hooks/telemetry/forward" ] || BUILDS="$BUILDS${BUILDS:+ }$build"
  done
}

main() {
  parse "$@"
  check_usage
  settle
  if [ -n "$UNINSTALL" ]; then
    uninstall
  else
    install_all
  fi
}

install_all() {
  say "Checking"
  check_user
  settle_stead
  check_builds
  if [ -z "$DESTDIR" ]; then
    check_commands
    check_opennebula
  fi
  check_places "$FAILED"
  prepare_configuration
  if [ -z "$DESTDIR" ]; then
    [ -z "$SINK_CHECK" ] || check_sinks
    if [ -n "$NATIVE" ] && [ -s "$WORK/hosts" ]; then check_hosts; fi
  fi
  [ "$FAILED" = 0 ] || die 1 "$FAILED of the checks failed; nothing was changed"
  ask "Install one-telemetry${DESTDIR:+ in $DESTDIR}?"
  say "Installing"
  open_list
  install_tree
  install_configuration
  [ -z "$TELEMETRYD" ] || install_telemetryd
  install_doctor
  [ -z "$HOOKS" ] || install_timer
  if [ -n "$DESTDIR" ]; then
    say "Prepared in $DESTDIR. Hooks, hosts and services are for the front-end itself."
    exit 0
  fi
  [ -z "$HOOKS" ] || register_hooks
  start_telemetryd
  [ -z "$HOOKS" ] || start_timer
  sync_hosts
  [ "$CHANGES" != 0 ] || say "  nothing to change: all of it is there already"
  [ -z "$DRY_RUN" ] || { say "Nothing was done (--dry-run)."; exit 0; }
  verify
  finish
}

ask() { # QUESTION: only of a person at a terminal
  [ -z "$YES$DRY_RUN" ] && [ -t 0 ] && [ -t 1 ] || return 0
  printf '%s [Y/n] ' "$1"
  read -r answer
  case $answer in
  '' | [Yy]*) ;;
  *) die 1 "nothing was changed" ;;
  esac
}

main "$@"
