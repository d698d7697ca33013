/* SPDX-License-Identifier: Apache-2.0
 * Where an installed probe stands in the tree that OpenNebula distributes to its hosts:
 *
 *   <remotes>/im/kvm-probes.d/vm/monitor/telemetry    the probe; qemu-probes.d holds a second copy
 *   <remotes>/im/kvm-probes.d/vm/status/              the state probe, where it replaces OpenNebula's
 *   <remotes>/hooks/telemetry/forward                 the forwarder
 *   <remotes>/hooks/telemetry/vm_event                the state hook, on the front-end alone
 *   <remotes>/hooks/telemetry/builds/NAME/            all of these for one kind of host, where there are several;
 *                                                     what stands in their places is a chooser that starts one
 *   <remotes>/etc/im/kvm-probes.d/telemetry.conf      their configuration
 *   <remotes>/etc/vmm/kvm/kvmrc                       OpenNebula's own, of its KVM drivers */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* <remotes> of the probe at this path (links in its directory are resolved), or NULL where it stands in no such tree,
 * as one that was just built. One in builds/ is such a probe as well. Owned by the caller. */
char *remotes_root(const char *program);

/* Its configuration file, there or not; NULL as above. Owned by the caller. */
char *remotes_config_file(const char *program);

/* The configuration file of the hook at this path; NULL as above. Owned by the caller. */
char *remotes_hook_config_file(const char *program);

/* The front-end's own, which telemetryd reads. */
#define REMOTES_FRONT_END_CONFIG "/etc/one/telemetry.conf"

/* The forwarder, there or not: for a probe that of its tree, for another program, and one in builds/, the one beside
 * it. NULL: neither, as there is none beside it. Owned by the caller. */
char *remotes_forwarder(const char *program);

/* OpenNebula's poll.rb can compute its forecast here, which makes its records more than twice as long: Python with
 * numpy and scipy is installed where its packages usually are, below `root` ("" but in tests). */
bool remotes_can_forecast(const char *root);

/* What makes that forecast, in the tree of the probe at this path: OpenNebula 7's im/lib/python/prediction.sh; NULL: it
 * is not there. Owned by the caller. */
char *remotes_forecaster(const char *program);
bool remotes_has_forecaster(const char *program);

/* OpenNebula runs an executable of that name in the probe's directory (of one in builds/ the chooser's). */
bool remotes_has_probe(const char *program, const char *name);
/* The same of the state probe's directory. */
bool remotes_has_status_probe(const char *program, const char *name);
