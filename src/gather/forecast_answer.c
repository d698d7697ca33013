/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/forecast_answer.h"

#include "base/log.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define KEY_MAX 63
#define NUMBER_MAX 32 /* bytes */
#define SHOWN 60

G_DEFINE_QUARK(one_telemetry_forecast_answer, forecast_answer_error)

static gsize digits(const char *text)
{
    return strspn(text, G_CSET_DIGITS);
}

/* As Python prints a float or an int: -12, 41830.0, 1.5e+20. */
static bool is_number(const char *text)
{
    const char *at = text + (*text == '-');
    gsize some = digits(at);
    if (some == 0 || strlen(text) > NUMBER_MAX)
        return false;
    at += some;
    if (*at == '.') {
        some = digits(++at);
        at += some;
    }
    if (some > 0 && *at == 'e') {
        at += 1 + (at[1] == '-' || at[1] == '+');
        some = digits(at);
        at += some;
    }
    return some > 0 && *at == '\0' && isfinite(g_ascii_strtod(text, NULL));
}

/* Where Python has no number. */
static bool is_no_number(const char *text)
{
    static const char *const words[] = {"nan", "inf", "-inf", "None"};
    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

/* KEY="VALUE": cuts it into its two parts. */
static bool split(char *line, char **ret_value)
{
    const gsize key = strspn(line, G_CSET_A_2_Z G_CSET_DIGITS "_"), length = strlen(line);
    if (key == 0 || key > KEY_MAX || line[key] != '=' || line[key + 1] != '"' || length < key + 3 ||
        line[length - 1] != '"')
        return false;
    line[key] = line[length - 1] = '\0';
    *ret_value = line + key + 2;
    return is_number(*ret_value) || is_no_number(*ret_value);
}

static bool has(const GPtrArray *words, const char *key)
{
    for (guint i = 0; i < words->len; i += 2)
        if (strcmp(g_ptr_array_index(words, i), key) == 0)
            return true;
    return false;
}

/* false: the line is none of those that there may be. */
static bool take(GPtrArray *words, const char *line)
{
    g_autofree char *copy = g_strdup(line);
    char *value;
    if (!split(copy, &value) || has(words, copy))
        return false;
    if (forecast_key_horizon(copy) == FORECAST_NONE || is_no_number(value))
        return true;
    g_ptr_array_add(words, g_strdup(copy));
    g_ptr_array_add(words, g_strdup(value));
    return true;
}

char **forecast_answer_read(const char *text, gsize length, GError **error)
{
    g_autofree char *copy = g_strndup(text, MIN(length, FORECAST_ANSWER_MAX));
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    const bool whole = strlen(copy) == length;
    for (guint i = 0; whole && lines[i]; i++) {
        if (*lines[i] == '\0' || take(words, lines[i]))
            continue;
        g_autofree char *quoted = log_quote(lines[i], strlen(lines[i]), SHOWN);
        g_set_error(error, FORECAST_ANSWER_ERROR, FORECAST_ANSWER_ERROR_SYNTAX,
                    "line %u is \"%s\": expected KEY=\"NUMBER\", each key once", i + 1, quoted);
        return NULL;
    }
    if (!whole) {
        g_set_error(error, FORECAST_ANSWER_ERROR, FORECAST_ANSWER_ERROR_SYNTAX, "it has a NUL, or more than %d bytes",
                    FORECAST_ANSWER_MAX);
        return NULL;
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}
