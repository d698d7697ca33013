/* SPDX-License-Identifier: Apache-2.0
 * Every fuzzer's beginning: what GLib warns of ends it, as a crash does. */
#include <glib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    g_log_set_always_fatal(G_LOG_LEVEL_WARNING | G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
    return 0;
}
