#!/bin/sh
# Installs what building, the demo, all tests and lint need on Debian 12. As root.
set -eu
[ "$(id -u)" = 0 ] || { echo "install-deps.sh: must run as root, it installs Debian packages" >&2; exit 1; }

build="gcc make pkg-config libc6-dev libvirt-dev libglib2.0-dev libxml2-dev zlib1g-dev libcurl4-openssl-dev"
rig="libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils seabios iproute2 python3"
tests="libcmocka-dev influxdb victoria-metrics prometheus openssl curl clang libclang-rt-14-dev git locales"
lint="clang-format clang-tidy cppcheck shellcheck mandoc"

missing=""
for package in $build $rig $tests $lint; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null

# Of prometheus the tests need the programs: its service is not started, now or when the machine starts.
policy=/usr/sbin/policy-rc.d made="" quiet=""
case " $missing " in *" prometheus "*) quiet=yes ;; esac
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
if [ -n "$quiet" ] && [ ! -e "$policy" ]; then
  made=yes
  # shellcheck disable=SC2016 # for the other shell
  printf '#!/bin/sh\ncase "$1" in prometheus*) exit 101 ;; esac\nexit 0\n' >"$policy"
  chmod 755 "$policy"
fi
# shellcheck disable=SC2086 # a list of words
apt-get install -y -q --no-install-recommends $missing >/dev/null
[ -z "$quiet" ] || update-rc.d prometheus disable >/dev/null
