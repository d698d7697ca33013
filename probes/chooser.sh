#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# one-telemetry: stands in the place of a program of ours where hosts differ (another distribution, another
# architecture), and starts the build of it that runs on this one:
#
#   <remotes>/im/kvm-probes.d/vm/monitor/telemetry   this file, as the probe
#   <remotes>/im/kvm-probes.d/vm/status/telemetry, vm/execution/telemetry   likewise
#   <remotes>/hooks/telemetry/forward, vm_event …    this file again
#   <remotes>/hooks/telemetry/builds/NAME/           vm_monitor, forward, vm_event …; machine: what `uname -m` says there
#
# Where none runs the probe says so on syslog, prints nothing and succeeds: a failure would cost the host the output of
# OpenNebula's own probes too. The state probe fails: who hears nothing of a VM may think that nothing has changed.
case $0 in
*/*) here=${0%/*} ;;
*) here=. ;;
esac
case ${0##*/} in
forward | vm_event | one-telemetry) program=${0##*/} builds=$here/builds ;;
*)
  builds=$here/../../../../hooks/telemetry/builds
  case $(cd "$here" && pwd) in
  */vm/status) program=vm_status ;;
  */vm/execution) program=vm_exec ;;
  *) program=vm_monitor ;;
  esac
  ;;
esac
machine=$(uname -m)

# It is started without a trial run before, which would cost as much as the run itself. One that cannot run here has
# failed before it read or wrote anything; so only a run that failed raises the question whether it was one at all.
for build in "$builds"/*/; do
  build=${build%/} of=
  [ -r "$build/machine" ] && read -r of <"$build/machine"
  if [ "$of" != "$machine" ] || [ ! -x "$build/$program" ]; then continue; fi
  "$build/$program" "$@"
  status=$?
  if [ "$status" = 0 ] || "$build/$program" --version >/dev/null 2>&1 </dev/null; then
    exit "$status"
  fi
done

said="no build of $program in hooks/telemetry/builds runs on this host ($machine): install the libraries it needs, or add a build (install.sh --build)"
if [ "$#" -gt 1 ] && { [ "$program" = vm_monitor ] || [ "$program" = vm_exec ]; }; then
  logger -t one-telemetry -p daemon.warning "$said" >/dev/null 2>&1 </dev/null
  exit 0
fi
echo "one-telemetry: $said" >&2
exit 1
