/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's etc/vmm/kvm/kvmrc, a shell file of assignments that its drivers source. Read, never run. */
#pragma once

#include <glib.h>

#define KVMRC_FILE_MAX (256 * 1024) /* bytes */

/* Value of the last plain assignment of `name` ("LIBVIRT_URI"): [export] NAME=VALUE, alone on its line, VALUE bare or
 * in single or double quotes, then perhaps a comment. NULL where there is none, or where its value would need a shell
 * ($, `): an earlier one is not taken then. Owned by the caller. */
char *kvmrc_value(const char *text, gsize length, const char *name);

/* LIBVIRT_URI of the kvmrc in the tree that the probe at this path is installed in. NULL where there is no such tree,
 * file or value; with an error where the file is there but can't be read, or its value would need a shell: OpenNebula
 * then asks a libvirt that is not known here. Owned by the caller. */
char *kvmrc_libvirt_uri(const char *program, GError **error);
