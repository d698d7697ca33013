/* SPDX-License-Identifier: Apache-2.0
 * Answers packed for clients that take gzip. Pure. */
#pragma once

#include <glib.h>

#define GZIP_WORTH 1024 /* bytes: what is smaller is sent as it is */

/* NULL: not worth it. At the fastest level: figures shrink to a tenth by it. Owned by the caller. */
GBytes *gzip_pack(GBytes *plain);
