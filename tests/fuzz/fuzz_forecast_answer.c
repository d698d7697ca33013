/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as what the forecaster prints, and as its configuration. What is taken are known keys, each once, and
 * finite numbers that stand as they are in a record; what is refused says in one line why. */
#include "encode/one_record.h"
#include "gather/forecast_answer.h"
#include "gather/forecast_conf.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const char *text, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) words = forecast_answer_read(text, size, &error);
    g_assert_true((words != NULL) != (error != NULL));
    g_assert_true(!error || !strchr(error->message, '\n'));
    for (guint i = 0; words && words[i]; i += 2) {
        g_autofree char *escaped = one_value_escape(words[i + 1]);
        g_assert_cmpstr(escaped, ==, words[i + 1]);
        g_assert_true(forecast_key_horizon(words[i]) != FORECAST_NONE && isfinite(g_ascii_strtod(words[i + 1], NULL)));
        for (guint k = 0; k < i; k += 2)
            g_assert_cmpstr(words[k], !=, words[i]);
    }
}

static void check_conf(const char *text, gsize size)
{
    g_autoptr(GError) error = NULL;
    ForecastConf conf;
    bool good = forecast_conf_parse(text, size, &conf, &error);
    g_assert_true(good == !error);
    g_assert_true(conf.weeks >= 1 && conf.far_minutes <= 366 * 24 * 60);
    forecast_conf_is_far_turn(&conf, 30, 83, 1700000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_answer((const char *)data, size);
    check_conf((const char *)data, size);
    return 0;
}
