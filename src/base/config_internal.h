/* SPDX-License-Identifier: Apache-2.0
 * What the files of the configuration share: values (config_value.c), what holds them (config.c), reading
 * (config_parse.c) and writing (config_write.c). */
#pragma once

#include "base/config.h"

#define CONFIG_QUOTE_MAX 80       /* bytes of a value, key or line that a message repeats */
#define CONFIG_FILE_NAME_MAX 4096 /* bytes of a file's name in a message: PATH_MAX */
#define CONFIG_BLANKS " \t"

typedef struct {
    char *text; /* as one writes it in the file, escapes resolved; owned */
    gint64 integer;
    double seconds;
    char *origin; /* owned */
} OptionValue;

/* Number of `text` among words separated by |, or -1. */
int config_word_number(const char *words, const char *text);

/* "error, warning, info or debug". Owned by the caller. */
char *config_list_words(const char *words);

/* Fills integer or seconds of `value`, or none, from the text. false: it is none for this option. */
bool option_read(const OptionInfo *option, const char *text, OptionValue *value);

/* The whole configuration, or one named section of it. */
struct Config {
    OptionValue values[N_OPTIONS]; /* of a named section: only its own are in use */
    guint lines[N_OPTIONS];        /* for the parser: the line of this file each was set in, or 0 */

    const Config *whole; /* of a named section; of the whole: NULL */
    const NamedSectionInfo *kind;
    char *name;

    GPtrArray *names[N_NAMED_SECTIONS]; /* of the whole: as config_names gives them, borrowed of … */
    GPtrArray *named[N_NAMED_SECTIONS]; /* … these, in the same order */
};

/* The value in effect. */
const OptionValue *config_value(const Config *config, ConfigOption option);

/* Relative FILEs are of `directory`. false: the option is as it was. */
bool config_store(Config *config, ConfigOption option, const char *text, const char *directory, const char *origin);

/* The named section, made where it is missing. NULL: there are as many as there may be. */
Config *config_make_named(Config *config, const NamedSectionInfo *kind, const char *name);

/* A value for a message: one line, never nothing. Owned by the caller. */
char *config_quote(const char *text);
