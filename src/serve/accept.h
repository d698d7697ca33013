/* SPDX-License-Identifier: Apache-2.0
 * What a client says it accepts. Pure. */
#pragma once

#include <stdbool.h>

/* Whether `header` (Accept-Encoding; NULL: not sent) takes gzip: named, or by *, and not with q=0. */
bool accept_gzip(const char *header);

/* Whether `header` (If-None-Match; NULL: not sent) names the tag ("\"x\"" or "W/\"x\""), compared weakly, or is *. */
bool accept_has_tag(const char *header, const char *etag);
