/* SPDX-License-Identifier: Apache-2.0
 * The configuration: one INI file, one table of options. The table (options.def) parses, checks, prints --dump-config
 * and writes the commented sample file. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum {
    OPTION_TEXT,    /* any text */
    OPTION_PATH,    /* empty, or an absolute path */
    OPTION_INTEGER, /* low..high; `words` may name special values: "auto" reads as -1 */
    OPTION_SECONDS, /* real, low..high seconds */
    OPTION_NUMBER,  /* real, low..high */
    OPTION_CHOICE,  /* one of `words`, separated by |; its number from 0 */
    OPTION_BOOL,    /* yes/no, true/false, on/off, 1/0 */
    OPTION_FILE,    /* empty, an absolute path, or one relative to the configuration file's directory */
    OPTION_SIZE,    /* low..high bytes: a whole number, with K, M or G behind it for KiB, MiB, GiB */
    OPTION_SPAN,    /* low..high seconds: a whole number, with s, m, h or d behind it */
} OptionType;

/* OPTION(section, key, type, default, low, high, words, help); in C: CONFIG_<section>_<key> */
typedef enum {
#define OPTION(section, key, ...) CONFIG_##section##_##key,
#include "base/options.def"
#undef OPTION
    N_OPTIONS
} ConfigOption;

typedef struct {
    const char *section, *key; /* lower case, as in the file */
    OptionType type;
    const char *standard; /* default, as one would write it in the file */
    double low, high;
    const char *words;
    const char *help;
} OptionInfo;

extern const OptionInfo option_info[N_OPTIONS];

/* mode of [probe], by the numbers of its words. */
typedef enum { MODE_BESIDE, MODE_REPLACE, MODE_LEAVE } ProbeMode;
/* sources of [probe] and [collector], likewise. */
typedef enum { SOURCES_AUTO, SOURCES_LIBVIRT } Sources;

/* What the option takes, in words, as behind "expected": "a whole number from 1 to 5". Owned by the caller. */
char *option_expectation(const OptionInfo *option);

/* The sections that stand under names of their own, [sink NAME], as often as there are things of that kind. A name is
 * 1 to SECTION_NAME_MAX of a-z A-Z 0-9 _ -. */
typedef struct {
    const char *section;
    const char *reserved; /* words that are no name there, separated by | */
    guint most;           /* of one file */
    const char *example;  /* a name for the sample file */
    const char *help;
} NamedSectionInfo;

#define SECTION_NAME_MAX 64
#define N_NAMED_SECTIONS 1
extern const NamedSectionInfo named_section_info[N_NAMED_SECTIONS];

/* The row of a section that takes names; NULL: it takes none. */
const NamedSectionInfo *named_section_find(const char *section);

/* Which names it takes, and how many, in words for people. Owned by the caller. */
char *named_section_rule(const NamedSectionInfo *kind);

typedef struct Config Config;

#define CONFIG_ERROR config_error_quark()
GQuark config_error_quark(void);
typedef enum { CONFIG_ERROR_OPEN, CONFIG_ERROR_SYNTAX, CONFIG_ERROR_UNKNOWN, CONFIG_ERROR_VALUE } ConfigErrorCode;

#define CONFIG_FILE_MAX (1024 * 1024) /* bytes */

/* All defaults. */
Config *config_new(void);
void config_free(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

/* Reads the text of a configuration file; `name` is for messages. false: the first error, as one line
 * "FILE:LINE: [section] key = value: what was expected"; every other option of the text that is right is taken all the
 * same, so that a caller who must go on knows as much as can be known. Errors: CONFIG_ERROR. A key written twice, an
 * unknown section or key (with the nearest known one, where there is one), a line that is neither comment, section nor
 * key = value, a comment behind a value, a name where a section takes none or none where it takes one, invalid UTF-8
 * and NUL bytes are errors. Of a section written twice the keys are taken together. Values have the escapes of GLib's
 * key files: \s \t \n \r \\. FILE options are made absolute: relative to the directory of `name`, which in turn is
 * relative to the current directory. */
bool config_parse(Config *config, const char *text, gsize length, const char *name, GError **error);

/* The same from a file. A missing file is CONFIG_ERROR_OPEN. */
bool config_load(Config *config, const char *path, GError **error);

/* Which file to load: the one named (may be NULL), else that of the environment (ONE_TELEMETRY_CONF), which both have
 * to be there, else the first of the standard places (NULL-terminated) that is; NULL: none is. Owned by the caller. */
char *config_find(const char *named, const char *const *standard);

/* One option from the command line, checked as the file's are, of a section that takes no names. The message names
 * `flag` ("--deadline") instead of a line; a FILE is relative to the current directory. */
bool config_set(Config *config, ConfigOption option, const char *value, const char *flag, GError **error);

/* TEXT, PATH, FILE (absolute); "" when empty; owned by config. */
const char *config_text(const Config *config, ConfigOption option);
gint64 config_integer(const Config *config, ConfigOption option); /* INTEGER, CHOICE, BOOL, SIZE, SPAN */
double config_seconds(const Config *config, ConfigOption option); /* SECONDS, NUMBER */

/* Any option's value as one would write it in the file, and where that is from (default, FILE:LINE, command line);
 * owned by config. */
const char *config_written(const Config *config, ConfigOption option);
const char *config_origin(const Config *config, ConfigOption option);

/* The names that `section` ("sink"; one of named_section_info) stands under, in the file's order, NULL-terminated;
 * owned by config. */
const char *const *config_names(const Config *config, const char *section);
/* The options of that one: a configuration in which those of `section` are its, the others as they are. Owned by
 * `config`; NULL: no such name. */
const Config *config_named(const Config *config, const char *section, const char *name);

/* --dump-config: every option with its value in effect and where that came from (default, FILE:LINE, command line), as
 * a file that config_parse takes; named sections as there are names. Owned by the caller. */
char *config_dump(const Config *config);

/* The commented sample file: every option with help, range and default, commented out, and so are the headers of named
 * sections. Owned by the caller. */
char *config_sample(void);
