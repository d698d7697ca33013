/* SPDX-License-Identifier: Apache-2.0
 * Answers packed for clients that take gzip. */
#pragma once

#include "serve/body.h"

#define GZIP_WORTH 1024 /* bytes: what is smaller is sent as it is */

/* No bytes: not worth it. At the fastest level: figures shrink to a tenth by it. */
Body gzip_pack(GBytes *plain);
