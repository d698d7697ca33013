/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the configuration share. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The inside too, so that types which no option has yet, and ranges that none should have, are tested. */
#include "base/config_internal.h"

#include <string.h>

static inline bool parse(Config *config, const char *text, GError **error)
{
    return config_parse(config, text, strlen(text), "t.conf", error);
}

static inline void assert_error(const GError *error, ConfigErrorCode code, const char *message)
{
    assert_non_null(error);
    assert_string_equal(error->message, message);
    assert_true(error->domain == CONFIG_ERROR);
    assert_int_equal(error->code, code);
}

static inline void assert_same_options(const Config *a, const Config *b)
{
    for (int option = 0; option < N_OPTIONS; option++) {
        const OptionValue *x = config_value(a, option), *y = config_value(b, option);
        assert_string_equal(x->text, y->text);
        assert_int_equal(x->integer, y->integer);
        assert_memory_equal(&x->seconds, &y->seconds, sizeof x->seconds);
    }
}

static inline void assert_names(const Config *config, const char *expected)
{
    g_autofree char *names = g_strjoinv(" ", (char **)(guintptr)config_names(config, "sink"));
    assert_string_equal(names, expected);
}

static inline void assert_same_values(const Config *a, const Config *b)
{
    assert_same_options(a, b);
    g_autofree char *names = g_strjoinv(" ", (char **)(guintptr)config_names(a, "sink"));
    assert_names(b, names);
    for (const char *const *name = config_names(a, "sink"); *name; name++)
        assert_same_options(config_named(a, "sink", *name), config_named(b, "sink", *name));
}
