#!/bin/sh
# lint.sh FILES... -- COMPILER FLAGS   layout, static analysis, layering, shell, man pages. `make lint` calls it.
# shellcheck disable=SC2086,SC2046,SC2016 # lists of words, of file names without spaces; a script for another sh
set -u
cd "$(dirname "$0")/.." || exit 1
files="" failed=0
while [ $# -gt 0 ] && [ "$1" != "--" ]; do files="$files $1"; shift; done
[ $# -gt 0 ] && shift
# The analyzer does not understand cmocka's way of leaving a test: unit tests are laid out, but not analyzed.
sources=$(printf '%s\n' $files | grep '\.c$' | grep -v '^tests/unit/')

cores=$(nproc)

complain() { echo "lint: $1"; failed=1; }

clang-format --dry-run -Werror $files || complain "clang-format: run make format"

printf '%s\n' $sources | xargs -P "$cores" -n 4 sh -c '
  flags=$1; shift; clang-tidy --quiet "$@" -- $flags 2>&1 | grep -E "warning:|error:" && exit 1; exit 0' sh "$*" ||
  complain "clang-tidy"

cppcheck --quiet -j "$cores" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -Isrc \
  --suppress=missingIncludeSystem --suppress=unknownMacro --library=gtk $sources || complain "cppcheck"

# Arrows run one way: serve -> store, probe -> deliver, encode, gather -> model -> base; deliver -> encode, base (design).
may_include() { # FOLDER ALLOWED
  grep -nE '^#include "' src/"$1"/*.[ch] 2>/dev/null | grep -vE "\"($2)/" && complain "src/$1 may include but $2"
}
may_include base "base"
may_include model "base|model"
may_include gather "base|model|gather"
may_include encode "base|model|encode"
# Some databases drop a wrong line, or its neighbours, without a word: the drain reads each line before it is sent.
may_include deliver "base|deliver|encode"
may_include probe "base|model|gather|encode|deliver|probe"
may_include store "base|model|encode|store"
may_include serve "base|model|gather|encode|deliver|probe|store|serve"
may_include doctor "base|model|gather|encode|deliver|probe|doctor"

# One file includes each outside library's header.
only_in() { # HEADER FILE
  grep -rlE "#include <$1" src probes hooks commands 2>/dev/null | grep -vE "^($2)\$" && complain "<$1...> belongs into $2 only"
}
only_in 'libvirt/' 'src/gather/libvirt\.c|src/gather/guest_agent\.c'
only_in 'libxml/' 'src/gather/xml\.c'
only_in 'curl/' 'src/deliver/sink\.c'
only_in 'sqlite3' 'src/store/history[_a-z]*\.c|src/probe/(status|forecast)_db\.c'
only_in 'microhttpd' 'src/serve/server[_a-z]*\.[ch]'
only_in 'cJSON' 'src/gather/guest_exec\.c|src/gather/guest_answer\.c|src/deliver/answer\.c|src/serve/influx_query\.c|src/doctor/diagnosis\.c'

shellcheck -x install.sh share/install/*.sh probes/chooser.sh tests/*.sh tools/*.sh .ci/run debian/*.postinst debian/*.prerm \
  debian/*.postrm || complain "shellcheck"
for page in share/man/*.[158]; do
  mandoc -Tlint -Wwarning "$page" || complain "mandoc $page"
done
# What is vendored is as it came: nobody mends it here.
(cd third_party && sha256sum --quiet --check SHA256SUMS &&
  [ "$(find . -type f ! -name README.md ! -name SHA256SUMS | sort)" = "$(sed 's,^[0-9a-f]*  ,./,' SHA256SUMS | sort)" ]) ||
  complain "third_party: not as SHA256SUMS has it"
grep -rnE '\b(TODO|FIXME)\b' src probes hooks commands tests tools share 2>/dev/null | grep -v '^tests/lint.sh' && complain "open ends"

[ "$failed" = 0 ] && echo "lint: clean"
exit "$failed"
