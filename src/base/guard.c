/* SPDX-License-Identifier: Apache-2.0 */
#include "base/guard.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <syslog.h>
#include <unistd.h>

#define STACK_SIZE (32 * 1024) /* of the handler's own stack: the crash may be an overflow of the main thread's */

static volatile sig_atomic_t exit_status, already_ending;
static const char *volatile consequence_text = "";

static const char *reason(int number)
{
    switch (number) {
    case SIGALRM:
        return "not done in time";
    case SIGSEGV:
        return "crashed with SIGSEGV";
    case SIGBUS:
        return "crashed with SIGBUS";
    case SIGFPE:
        return "crashed with SIGFPE";
    case SIGILL:
        return "crashed with SIGILL";
    case SIGTRAP:
        return "ended by a fatal error (SIGTRAP)";
    case SIGSYS:
        return "crashed with SIGSYS";
    case SIGXCPU:
        return "out of CPU time (SIGXCPU)";
    default:
        return "aborted";
    }
}

static void say(const char *text)
{
    gssize ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

/* syslog() is not made for signal handlers: should it hang on a lock that the crash left held, the second alarm ends
 * the process all the same. */
static void end_process(int number)
{
    if (already_ending)
        _exit(exit_status);
    already_ending = 1;
    const struct itimerval second = {.it_value = {.tv_sec = 1}};
    setitimer(ITIMER_REAL, &second, NULL);
    say("one-telemetry: ");
    say(reason(number));
    say("; ");
    say(consequence_text);
    say("\n");
    syslog(LOG_ERR, "%s; %s", reason(number), consequence_text);
    _exit(exit_status);
}

void guard_arm(int status, gint64 limit_ms, const char *consequence)
{
    static char stack_memory[STACK_SIZE];
    const stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof stack_memory};
    struct sigaction action = {.sa_handler = end_process, .sa_flags = SA_ONSTACK | SA_NODEFER};
#if defined(__SANITIZE_ADDRESS__)
    const int signals[] = {SIGALRM};
#else
    /* SIGTRAP: how GLib ends on a fatal message, and so when memory runs out. */
    const int signals[] = {SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU};
#endif
    exit_status = status;
    consequence_text = consequence;
    sigaltstack(&stack, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(signals); i++)
        sigaction(signals[i], &action, NULL);
    const struct itimerval limit = {.it_value = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000}};
    setitimer(ITIMER_REAL, &limit, NULL);
}

void guard_change(int status, const char *consequence)
{
    exit_status = status;
    consequence_text = consequence;
}
