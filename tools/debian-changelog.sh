#!/bin/sh
# debian-changelog.sh VERSION MAINTAINER   CHANGELOG.md on standard input, as Debian's changelog on standard output.
# `make deb` calls it. A version that is not released yet sorts below its release, and above an older commit's:
# 0.1.0~20261126170912, the time being SOURCE_DATE_EPOCH. VERSION is the newest entry's, or it complains.
set -eu

if [ $# != 2 ] || [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  echo "usage: SOURCE_DATE_EPOCH=SECONDS debian-changelog.sh VERSION MAINTAINER < CHANGELOG.md" >&2
  exit 2
fi
complain() { echo "debian-changelog.sh: $1" >&2; exit 1; }
at() { date -u -d "$1" "$2"; }
stamp=$(at "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)
first=yes entries="" version="" date="" text=""

# An entry: its items, each refolded to Debian's 80 columns.
entry() {
  [ -n "$version" ] || return 0
  [ -z "$entries" ] || echo
  entries=yes
  printf 'one-telemetry (%s) unstable; urgency=medium\n\n' "$version"
  printf '%s\n' "$text" | while IFS= read -r item; do
    printf '%s\n' "$item" | fold -s -w 74 | sed 's/ *$//; 1s/^/  * /; 2,$s/^/    /'
  done
  printf '\n -- %s  %s\n' "$2" "$(LC_ALL=C at "$date" '+%a, %d %b %Y %H:%M:%S +0000')"
}

while IFS= read -r line; do
  case $line in
    '## '*)
      entry "$@"
      version=${line#'## '} text=""
      case $version in
        *', unreleased') version=${version%', unreleased'}~$stamp date=@$SOURCE_DATE_EPOCH ;;
        *', '[0-9]*) date=${version#*', '} version=${version%%', '*} ;;
        *) complain "CHANGELOG.md: \"$line\": write \"## VERSION, unreleased\" or \"## VERSION, YYYY-MM-DD\"" ;;
      esac
      if [ -n "$first" ] && [ "${version%~*}" != "$1" ]; then
        complain "CHANGELOG.md begins with ${version%~*}, the Makefile's VERSION is $1: make them one"
      fi
      first="" ;;
    '- '*) text="$text${text:+
}${line#- }" ;;
    '  '*) text="$text ${line#  }" ;;
  esac
done
[ -z "$first" ] || complain "CHANGELOG.md has no \"## VERSION\""
entry "$@"
