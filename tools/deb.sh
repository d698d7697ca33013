#!/bin/sh
# deb.sh VERSION DIR   builds the Debian packages of this tree as it stands, committed or not, into DIR, for `make deb`.
# The tree itself is not touched: a copy in DIR is built, which stays, so that the next time only what changed is
# compiled. Needs no root and no network. DEB_BUILD_OPTIONS as for dpkg-buildpackage; without it no -dbgsym packages.
set -eu

complain() { echo "deb.sh: $1" >&2; exit 1; }

[ $# = 2 ] || { echo "usage: deb.sh VERSION DIR" >&2; exit 2; }
cd "$(dirname "$0")/.."
for tool in dh dpkg-buildpackage; do
  command -v "$tool" >/dev/null || complain "there is no $tool: make deps, or apt-get install build-essential debhelper"
done
mkdir -p "$2"
out=$(cd "$2" && pwd) tree=$out/one-telemetry

# Not the clock but the last commit dates what is in the packages: the same tree gives the same packages.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
fi
export SOURCE_DATE_EPOCH

mkdir -p "$tree"
rm -f "$out"/*.deb "$out"/*.changes "$out"/*.buildinfo
find "$tree" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
tar -cf - --exclude=./build --exclude="./${2%/deb}" --exclude=./.git --exclude=__pycache__ . | tar -xf - -C "$tree"
maintainer=$(sed -n 's/^Maintainer: //p' debian/control)
sh tools/debian-changelog.sh "$1" "$maintainer" < CHANGELOG.md > "$tree/debian/changelog"

# What the calling make was told (BUILD, DESTDIR, SANITIZE ...) is not for the packages.
unset MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL BUILD DESTDIR PREFIX SANITIZE REMOTES CFLAGS CPPFLAGS LDFLAGS
export DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS-noautodbgsym}"
log=$out/build.log
(cd "$tree" && dpkg-buildpackage --build=binary --no-sign --no-pre-clean --jobs-try=auto) > "$log" 2>&1 ||
  { tail -n 40 "$log" >&2; complain "the packages can't be built; all that was said is in $log"; }
for deb in "$out"/*.deb; do echo "$deb"; done
