/* SPDX-License-Identifier: Apache-2.0
 * Shared by the tests of src/model and src/gather. */
#pragma once

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/sample.h"

/* As assert_true, and says of which row of a table it speaks. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                                                 \
    } while (0)
void check_failed(const char *file, int line, const char *condition, const char *format, ...) G_GNUC_NORETURN
    G_GNUC_PRINTF(4, 5);

/* Strings, NULL included. */
#define CHECK_TEXT(got, want, label) check_text((got), (want), (label), __FILE__, __LINE__)
void check_text(const char *got, const char *want, const char *label, const char *file, int line);

/* "KEY=value;" each, of keys and values in turn; NULL: none. Owned by the caller. */
char *pairs_text(char *const *pairs);

/* Content of a file under tests/ (ONE_TEST_DATA names another directory), e.g. "golden/recorded/one-kvm-a.txt". Owned
 * by the caller. */
char *read_test_data(const char *name, gsize *ret_length);

/* A directory in the temporary one, and its end. */
char *make_temporary_dir(void);
void remove_tree(const char *path);

/* Set-up and tear-down of a test whose state is such a directory's path. */
int set_up_directory(void **state);
int tear_down_directory(void **state);

/* The only sample of such a text; fails the test where it is refused. */
Sample *parse_domstats(const char *text);

/* Files "KEY=VALUE" pairs, separated by blanks, in domstats' keys: numbers as numbers, others as text. */
void put_figures(VmSample *vm, const char *pairs);

/* A VM of that name in the sample, belongs to it. */
VmSample *add_vm(Sample *sample, const char *name, const char *uuid, gint64 domain_id);

/* The metric of that name ("VM_CPU_TIME"); fails the test where there is none. */
Metric metric_named(const char *name);

/* --- property tests --- */

/* Seeded by ONE_TEST_SEED, else by a constant; a failure can so be had again. */
GRand *seeded_random(void);

/* A sample sorted by id, any figure present or not, devices with gaps in their numbers. What is always there: one raw
 * figure of each device, as one without any can't be written down. */
Sample *random_raw_sample(GRand *random);

/* Fails the test where header, identity or a raw figure differ. */
void check_same_raw(const Sample *got, const Sample *want);
