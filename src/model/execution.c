/* SPDX-License-Identifier: Apache-2.0 */
#include "model/execution.h"

void execution_free(Execution *execution)
{
    if (!execution)
        return;
    g_free(execution->output);
    g_free(execution->errors);
    g_free(execution);
}

bool execution_is_base64(const char *text, gsize length)
{
    if (length % 4 != 0)
        return false;
    for (guint padding = 0; padding < 2 && length > 0 && text[length - 1] == '='; padding++)
        length--;
    for (gsize i = 0; i < length; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '+' && text[i] != '/')
            return false;
    return true;
}
