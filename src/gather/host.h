/* SPDX-License-Identifier: Apache-2.0
 * What this machine says of itself. */
#pragma once

#include <glib.h>

gint64 host_realtime_ns(void); /* CLOCK_REALTIME */
gint64 host_boottime_ns(void); /* CLOCK_BOOTTIME: goes on in suspend, never jumps */
char *host_boot_id(void);      /* the kernel's random id of this boot; NULL where there is none. Owned by the caller */
char *host_name(void);         /* as uname has it. Owned by the caller */
