/* SPDX-License-Identifier: Apache-2.0
 * The form of OpenNebula's configuration files and templates, as far as we need it: KEY = VALUE, where a value may
 * stand in double quotes, or be a vector [ KEY = VALUE, … ], with # comments. Keys are the same in upper and lower
 * case. Pure.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define OPENNEBULA_CONF_MAX (1024 * 1024) /* bytes */

/* The last value of `key`, outside of vectors or not. NULL: there is none, or it is a vector. Owned by the caller. */
char *opennebula_conf_text(const char *text, gsize length, const char *key);

/* The number that `key` ("MONITOR_VM") has in the last vector `vector` ("PROBES_PERIOD"). false: there is none, or it
 * is no number from 1 to 10^9. */
bool opennebula_conf_number(const char *text, gsize length, const char *vector, const char *key, guint64 *ret_value);
