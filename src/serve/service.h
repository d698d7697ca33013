/* SPDX-License-Identifier: Apache-2.0
 * What handlers of requests work with. Filled in by telemetryd.c. */
#pragma once

#include "base/config.h"
#include "serve/collector.h"
#include "serve/feed.h"
#include "serve/http.h"

typedef struct {
    Store *store;
    History *history; /* NULL: none is kept */
    Stream *stream;
    Feed *feed;
    char *state_dir;   /* stays what it was at the start */
    gint64 started_ns; /* realtime */

    GMutex control_lock; /* while the collector is started or stopped and that is noted down, one after the other */

    GRWLock lock; /* for the rest, which a reload changes */
    Collector *collector;
    const Config *config;
    char *config_file;    /* NULL: none */
    gsize max_body_plain; /* bytes of a body after gunzip */
} Service;

/* The clocks of now. */
StoreClock service_clock(void);
