/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as guestagent.conf, as an agent's answer, as nvidia-smi's output and as the book of guests. Keys are words
 * that OpenNebula takes, figures are finite, a book that was read is the same when it is written and read again. */
#include "gather/guest_answer.h"
#include "gather/vm_book.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_commands(const char *text, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GuestCommands) commands = guest_commands_parse(text, size, &error);
    g_assert_true((commands != NULL) != (error != NULL));
    for (guint i = 0; commands && i < commands->commands->len; i++) {
        const GuestCommand *command = g_ptr_array_index(commands->commands, i);
        g_assert_true(*command->key && strspn(command->key, G_CSET_A_2_Z G_CSET_DIGITS "_") == strlen(command->key));
        g_assert_true(*command->command == '{' && (!command->filter || *command->filter));
        g_autofree char *made = guest_command_for(command->command, 83);
        g_assert_null(strstr(made, "$vm_id"));
    }
    if (commands)
        g_assert_cmpuint(commands->commands->len, <=, GUEST_COMMANDS_MAX);
}

static void check_answers(const char *text, gsize size)
{
    GpuFigures figures;
    g_autofree char *value = guest_answer_value(text, size), *terminated = g_strndup(text, size);
    g_assert_true(!value || size <= GUEST_ANSWER_MAX);
    g_assert_cmpint(guest_answer_os(text, size), <, N_GUEST_OS);
    g_assert_cmpint(guest_answer_pid(text, size), !=, 0);
    if (gpu_figures_read(text, size, &figures))
        g_assert_true(figures.count > 0 && isfinite(figures.utilization) && isfinite(figures.memory_free) &&
                      figures.power_usage >= 0 && figures.memory_utilization >= 0);
    gpu_is_among(terminated);
}

static void check_book(const char *text, gsize size)
{
    g_autoptr(VmBook) book = vm_book_read(text, size);
    if (!book)
        return;
    g_autoptr(GString) written = g_string_new(NULL), again = g_string_new(NULL);
    vm_book_write(book, written);
    g_autoptr(VmBook) copy = vm_book_read(written->str, written->len);
    g_assert_nonnull(copy);
    vm_book_write(copy, again);
    g_assert_cmpstr(again->str, ==, written->str);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_commands((const char *)data, size);
    check_answers((const char *)data, size);
    check_book((const char *)data, size);
    return 0;
}
