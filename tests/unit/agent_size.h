/* SPDX-License-Identifier: Apache-2.0
 * What OpenNebula's agent makes of a text for its message, with nothing of ours. */
#pragma once

#include <glib.h>

/* Bytes: all of it compressed by zlib in one go, then base64. */
gsize agent_size(const GString *text);
