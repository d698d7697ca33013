#!/bin/sh
# Installs what building, the demo, all tests and lint need on Debian 12. As root.
set -eu
[ "$(id -u)" = 0 ] || { echo "install-deps.sh: must run as root, it installs Debian packages" >&2; exit 1; }

build="gcc make pkg-config libc6-dev libvirt-dev libglib2.0-dev libxml2-dev zlib1g-dev libcurl4-openssl-dev libmicrohttpd-dev libsqlite3-dev"
rig="libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils seabios iproute2 python3"
tests="libcmocka-dev openssl curl jq wrk valgrind clang libclang-rt-14-dev git locales"
databases="influxdb victoria-metrics nginx-light" # whose programs the tests start; as services they are not wanted
web="chromium chromium-driver fonts-dejavu-core"
lint="clang-format clang-tidy cppcheck shellcheck mandoc"
packages="build-essential debhelper lintian"

# Packages of which the files alone are wanted: what prometheus depends on is 200 MB, the next two would start services, and
# the others are for guests: no kernel of this machine's, no agent of it.
unpacked=/usr/local/lib/one-telemetry
files="prometheus collectd-core prometheus-libvirt-exporter linux-image-cloud-amd64 busybox-static qemu-guest-agent"

missing="" services=""
for package in $build $rig $tests $databases $web $lint $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
  missing="$missing $package"
  case " $databases " in *" $package "*) services="$services $package" ;; esac
done
absent=""
for package in $files; do [ -d "$unpacked/$package" ] || absent="$absent $package"; done
[ -n "$missing$absent" ] || exit 0
echo "installing:$missing$absent"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null

# No service of theirs is started, now or when the machine starts; one that was there before is left as it is.
policy=/usr/sbin/policy-rc.d made="" scratch=$(mktemp -d)
trap '[ -z "$made" ] || rm -f "$policy"; rm -rf "$scratch"' EXIT
if [ -n "$services" ] && [ ! -e "$policy" ]; then
  made=yes
  # shellcheck disable=SC2016 # for the other shell
  printf '#!/bin/sh\ncase "$1" in influxdb*|victoria-metrics*|nginx*) exit 101 ;; esac\nexit 0\n' >"$policy"
  chmod 755 "$policy"
fi
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || apt-get install -y -q --no-install-recommends $missing >/dev/null
for service in $services; do update-rc.d "${service%-light}" disable >/dev/null 2>&1 || true; done

chmod 755 "$scratch" # apt fetches as a user of its own
for package in $absent; do
  holder=$package
  case $package in linux-image-*) holder=$(apt-cache depends "$package" | sed -n 's/^ *Depends: //p') ;; esac
  (cd "$scratch" && apt-get download -q "$holder" >/dev/null 2>&1 && dpkg-deb -x "$holder"_*.deb "$package")
  rm -rf "$scratch/$package/usr/share/doc" "$scratch/$package/usr/share/man" "$scratch/$package/usr/share/prometheus"
  case $package in linux-image-*) # of its modules, virtio's and the two that they need
    find "$scratch/$package/lib/modules" -type f ! -path '*virtio*' ! -name '*failover.ko' -delete ;;
  esac
  mkdir -p "$unpacked"
  mv "$scratch/$package" "$unpacked/"
done
