/* SPDX-License-Identifier: Apache-2.0
 * Who asks, what OpenNebula this is, what the clock is worth. */
#include "base/file.h"
#include "doctor/checks.h"
#include "doctor/doctor.h"
#include "doctor/judges.h"

#include <string.h>
#include <sys/timex.h>

#define VERSION_MAX 4096

void examine_user(const Facts *facts, Report *to)
{
    const DoctorOptions *options = facts->options;
    report(to, judge_user(options->user, doctor_user_id(options->user), options->called_by));
}

void examine_opennebula(const Facts *facts, Report *to)
{
    gsize length;
    g_autofree char *path = facts_in_tree(facts, "VERSION"), *content = NULL;
    if (file_read(path, VERSION_MAX, &content, &length, NULL))
        g_strstrip(content)[strcspn(content, "\n")] = '\0';
    report(to, judge_opennebula(content));
}

/* Whatever keeps the clock right tells the kernel so. */
void examine_clock(const Facts *facts, Report *to)
{
    struct timex clock = {.modes = 0};
    (void)facts;
    int state = adjtimex(&clock);
    report(to, judge_clock(state >= 0 && state != TIME_ERROR, clock.maxerror));
}
