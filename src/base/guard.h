/* SPDX-License-Identifier: Apache-2.0
 * A program's last line of defence: whatever happens to it, it ends in bounded time with the exit status it should have
 * and one line that says why, instead of dying of a signal. In-process: a process of its own for the work would cost as
 * much CPU as all of our own work. */
#pragma once

#include <glib.h>

/* From here on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS), the end of a limit on CPU time
 * (SIGXCPU) and of the time limit (SIGALRM) end the process with `status` and a line on syslog and standard error that
 * ends with `consequence` ("nothing is sent in this cycle"). The text is kept, not copied. Call it in the main thread
 * before others are started; a stack overflow is caught in the main thread alone. In sanitized builds crashes are left
 * to the sanitizer. */
void guard_arm(int status, gint64 limit_ms, const char *consequence);

/* Another exit status and consequence from now on, as while output is half written, or when it is out. */
void guard_change(int status, const char *consequence);
