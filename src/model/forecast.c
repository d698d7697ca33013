/* SPDX-License-Identifier: Apache-2.0 */
#include "model/forecast.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define NEAR "_FORECAST"
#define FAR "_FORECAST_FAR"

static const char *const forecast_keys[] = {
#define FORECAST(table, metric, key) key,
#define FORECAST_EXTRA(table, key) key,
#include "model/forecast.def"
#undef FORECAST_EXTRA
#undef FORECAST
};

enum {
#define FORECAST(table, metric, key) KEY_OF_##metric,
#define FORECAST_EXTRA(table, key)
#include "model/forecast.def"
#undef FORECAST_EXTRA
#undef FORECAST
    N_KEYS
};
G_STATIC_ASSERT(N_KEYS == FORECAST_KEYS);

static bool is_forecast(const char *key, gsize length)
{
    for (guint i = 0; i < G_N_ELEMENTS(forecast_keys); i++)
        if (strlen(forecast_keys[i]) == length && memcmp(forecast_keys[i], key, length) == 0)
            return true;
    return false;
}

ForecastHorizon forecast_key_horizon(const char *key)
{
    const gsize length = strlen(key);
    if (g_str_has_suffix(key, FAR))
        return is_forecast(key, length - strlen(FAR)) ? FORECAST_FAR : FORECAST_NONE;
    if (g_str_has_suffix(key, NEAR))
        return is_forecast(key, length - strlen(NEAR)) ? FORECAST_NEAR : FORECAST_NONE;
    return FORECAST_NONE;
}
