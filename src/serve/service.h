/* SPDX-License-Identifier: Apache-2.0
 * What handlers of requests work with. Filled in by telemetryd.c; a reload changes what may change under `lock`. */
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
    Collector *collector;
    Spooling *spooling; /* NULL: no sinks */
    const Config *config;
    const char *config_file; /* NULL: none */
    AnswerOptions answers;
    gsize max_body_plain; /* bytes of a body after gunzip */
    gint64 started_ns;    /* realtime */
    char *state_dir;
} Service;

/* The clocks of now. */
StoreClock service_clock(void);
/* As they are after the last reload. */
AnswerOptions service_answers(Service *service);
