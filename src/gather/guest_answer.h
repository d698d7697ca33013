/* SPDX-License-Identifier: Apache-2.0
 * What guests' agents answer, as OpenNebula's records have it. A guest writes it, so it may be anything. Pure. */
#pragma once

#include "gather/guest_commands.h"

#define GUEST_ANSWER_MAX (64 * 1024) /* bytes; of a longer one nothing is taken */

/* What stands under "return": a text, number or boolean as it is; of a list its elements, with ", " between; a mapping
 * as JSON. NULL: there is none, or it is null, and nothing is to be told. Owned by the caller. */
char *guest_answer_value(const char *text, gsize length);

/* Of guest-get-osinfo: {"return": {"id": "mswindows", …}} is Windows, every other id, and a kernel without one, taken
 * for Linux. */
GuestOs guest_answer_os(const char *text, gsize length);

/* The same by what the record then has as OS_TYPE; NULL: nothing, and it is unknown. */
GuestOs guest_os_of_type(const char *type);

/* Of guest-get-osinfo, what the record has under guest_attribute_keys, each owned by the caller; NULL: the guest does
 * not say, or more than 255 bytes. */
void guest_answer_attributes(const char *text, gsize length, char *ret_values[N_GUEST_ATTRIBUTES]);

#define GUEST_ADDRESSES_MAX 64 /* of a guest; of more the first */

/* Of guest-network-get-interfaces: all addresses but those of loopback (127/8, ::1) and of one link (169.254/16,
 * fe80::/10), each once, in the guest's order, with "," between, which Sunstone splits at. NULL: there are none. Owned
 * by the caller. */
char *guest_answer_addresses(const char *text, gsize length);

/* Of guest-exec: {"return": {"pid": 123}}; -1: no such. */
gint64 guest_answer_pid(const char *text, gsize length);

/* nvidia-smi's figures in the guest, one line for each GPU (GPU_QUERY); what can't be told is "N/A" and taken for 0, as
 * OpenNebula's own probe does. */
#define GPU_QUERY "utilization.gpu,utilization.memory,power.draw,memory.free"
typedef struct {
    guint count;
    double utilization, memory_utilization; /* percent, means */
    double power_usage;                     /* W, sum */
    double memory_free;                     /* MiB, sum */
} GpuFigures;

/* false: not one such line. */
bool gpu_figures_read(const char *text, gsize length, GpuFigures *ret_figures);

/* One of `pci_devices`, as OpenNebula's metadata has them ("10de:2204:0300,8086:1572:0200": vendor, device, class), is
 * NVIDIA's. NULL: there are none. */
bool gpu_is_among(const char *pci_devices);
