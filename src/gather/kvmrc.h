/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's etc/vmm/kvm/kvmrc, a shell file of assignments that its drivers source. Read, never run. */
#pragma once

#include <glib.h>

#define KVMRC_FILE_MAX (256 * 1024) /* bytes */

/* Value of the last plain assignment of `name` ("LIBVIRT_URI"): [export] NAME=VALUE, alone on its line, VALUE bare or
 * in single or double quotes, then perhaps a comment. NULL where there is none, or where its value would need a shell
 * ($, `): an earlier one is not taken then. Owned by the caller. */
char *kvmrc_value(const char *text, gsize length, const char *name);

/* LIBVIRT_URI of the kvmrc that belongs to the probe at `probe_path`, an executable in
 * <remotes>/im/<hypervisor>-probes.d/vm/monitor/. NULL where the file, or the value, is not there. *ret_path (may be
 * NULL) is set to the file looked for. Both owned by the caller. */
char *kvmrc_libvirt_uri(const char *probe_path, char **ret_path);
