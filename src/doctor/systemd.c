/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/systemd.h"

#include "doctor/command.h"

#define PLACE "/run/systemd/system" /* is there where systemd runs */
#define OUTPUT_MAX 4096

bool systemd_runs(void)
{
    return g_file_test(PLACE, G_FILE_TEST_IS_DIR);
}

bool systemd_says(const char *what, const char *unit, gint64 limit_ms)
{
    const char *words[] = {"systemctl", what, unit, NULL};
    const Command command = {words, NULL, NULL, limit_ms, OUTPUT_MAX};
    g_autoptr(CommandResult) result = command_run(&command);
    return command_succeeded(result);
}
