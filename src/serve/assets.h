/* SPDX-License-Identifier: Apache-2.0
 * The dashboard's files, which are built in: all of dashboard/ and third_party/uplot/. The Makefile has tools/assets.sh
 * make the table from what lies there. */
#pragma once

#include <glib.h>

typedef struct {
    const char *name; /* without its folder, as "style.css"; no two have the same */
    const char *type; /* Content-Type */
    const guint8 *data;
    gsize length;
} Asset;

extern const Asset assets[];
extern const guint n_assets;
