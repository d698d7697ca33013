/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/doctor.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIDE_BY_SIDE 6           /* checks at a time */
#define REPORT_MAX (1024 * 1024) /* bytes of a check's findings */
#define USER_STATUS 3            /* it could not become the user */
#define LOOK_MS 1000

typedef struct {
    CheckResult result;
    pid_t pid; /* 0: not begun; -1: ended */
    int fd;
    GString *data;
    guint seconds;      /* that it may take */
    gint64 deadline_us; /* monotonic */
} Job;

uid_t doctor_user_id(const char *name)
{
    const struct passwd *entry = getpwnam(name);
    return entry ? entry->pw_uid : (uid_t)-1;
}

/* --- in the check's process --- */

/* Where we may: root becomes the user whom OpenNebula runs as. */
static bool become_user(const char *name)
{
    const struct passwd *entry = geteuid() == 0 ? getpwnam(name) : NULL;
    if (!entry || entry->pw_uid == 0)
        return true;
    if (initgroups(name, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0)
        return false;
    return g_setenv("HOME", entry->pw_dir, TRUE) && g_setenv("USER", name, TRUE) && g_setenv("LOGNAME", name, TRUE);
}

static void leave(int status)
{
#if defined(__SANITIZE_ADDRESS__)
    exit(status); /* a sanitizer looks for leaks on the usual way out */
#else
    _exit(status);
#endif
}

/* In a group of its own, with what it starts. */
static void run_check(const DoctorOptions *options, const CheckInfo *check, Place place, int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    setpgid(0, 0);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || !become_user(options->user))
        _exit(USER_STATUS);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* to become another user takes it away */
    if (chdir("/") != 0)
        _exit(USER_STATUS);
    umask(077);
    log_init("one-telemetry", 0, LOG_LEVEL_ERROR); /* findings are all it says */
    Report to = {fd};
    Facts *facts = facts_new(options, place);
    check->run(facts, &to);
    facts_free(facts);
    leave(0);
}

/* --- the doctor's --- */

/* That a check may take, in seconds. */
static guint seconds_of(const DoctorOptions *options, const CheckInfo *check)
{
    return options->timeout_s ? MIN(options->timeout_s, check->seconds) : check->seconds;
}

static void start(Job *job, const DoctorOptions *options)
{
    int ends[2];
    job->data = g_string_new(NULL);
    job->pid = -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    job->fd = ends[0];
    fcntl(job->fd, F_SETFL, O_NONBLOCK);
    job->seconds = seconds_of(options, job->result.check);
    job->deadline_us = g_get_monotonic_time() + (gint64)job->seconds * G_USEC_PER_SEC;
    job->pid = fork();
    if (job->pid == 0)
        run_check(options, job->result.check, job->result.place, ends[1]);
    if (job->pid > 0)
        setpgid(job->pid, job->pid); /* whoever comes first */
    close(ends[1]);
}

/* false: its end. */
static bool take(Job *job)
{
    char piece[4096];
    gssize got = read(job->fd, piece, sizeof piece);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    g_string_append_len(job->data, piece, (gssize)MIN((gsize)got, REPORT_MAX - job->data->len));
    return got > 0;
}

/* What it has started goes with it. It is waited for last, as until then its group's number is nobody else's. */
static int end_process(Job *job, bool kill_it)
{
    siginfo_t info;
    int status = 0;
    if (kill_it)
        kill(job->pid, SIGKILL);
    waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOWAIT);
    kill(-job->pid, SIGKILL);
    waitpid(job->pid, &status, 0);
    close(job->fd);
    job->pid = -1;
    return status;
}

static char *describe_end(int status, bool late, guint seconds)
{
    if (late)
        return g_strdup_printf("not done within %u s", seconds);
    if (WIFSIGNALED(status))
        return g_strdup_printf("the check crashed with signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == USER_STATUS)
        return g_strdup("the check could not become the user whom OpenNebula runs as");
    return g_strdup_printf("the check ended with status %d", WEXITSTATUS(status));
}

static void settle(Job *job, int status, bool late)
{
    GPtrArray *findings = job->result.findings;
    g_autoptr(Finding) doing = NULL;
    bool well = !late && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!report_read(job->data->str, job->data->len, findings, &doing))
        g_ptr_array_add(findings, finding_new(VERDICT_ERROR, NULL, "the check's report can't be read"));
    if (!well) {
        g_autofree char *end = describe_end(status, late, job->seconds);
        g_ptr_array_add(findings, finding_new(VERDICT_ERROR, doing ? doing->mend : NULL, "%s%s%s",
                                              doing ? doing->text : "", doing ? ": " : "", end));
    } else if (findings->len == 0) {
        g_ptr_array_add(findings, finding_ok("nothing to be said"));
    }
    g_string_free(job->data, TRUE);
    job->data = NULL;
}

static void finish(Job *job, bool late)
{
    int status = end_process(job, late);
    settle(job, status, late);
}

/* It could not even be started. */
static void give_up(Job *job)
{
    g_ptr_array_add(job->result.findings,
                    finding_new(VERDICT_ERROR, NULL, "no process for the check: %s", g_strerror(errno)));
    g_string_free(job->data, TRUE);
    job->data = NULL;
}

/* Checks of the hypervisor go one after the other: a guest that one of them asks is held by a job for the next. */
static bool may_start(const GArray *jobs, const Job *job)
{
    for (guint i = 0; i < jobs->len; i++) {
        const Job *other = &g_array_index(jobs, Job, i);
        if (other->pid > 0 && other->result.check->at == CHECK_AT_HOST && job->result.check->at == CHECK_AT_HOST)
            return false;
    }
    return true;
}

static guint start_more(GArray *jobs, guint running, const DoctorOptions *options)
{
    for (guint i = 0; i < jobs->len && running < SIDE_BY_SIDE; i++) {
        Job *job = &g_array_index(jobs, Job, i);
        if (job->pid != 0 || !may_start(jobs, job))
            continue;
        start(job, options);
        if (job->pid < 0)
            give_up(job);
        else
            running++;
    }
    return running;
}

static void wait_for_some(const GArray *jobs)
{
    g_autofree struct pollfd *polls = g_new0(struct pollfd, MAX(jobs->len, 1));
    gint64 now_us = g_get_monotonic_time(), wait_us = LOOK_MS * 1000;
    for (guint i = 0; i < jobs->len; i++) {
        const Job *job = &g_array_index(jobs, Job, i);
        polls[i] = (struct pollfd){.fd = job->pid > 0 ? job->fd : -1, .events = POLLIN};
        if (job->pid > 0)
            wait_us = MIN(wait_us, job->deadline_us - now_us);
    }
    poll(polls, jobs->len, (int)((MAX(wait_us, 0) + 999) / 1000));
}

/* Returns how many still run. */
static guint serve(GArray *jobs)
{
    guint running = 0;
    for (guint i = 0; i < jobs->len; i++) {
        Job *job = &g_array_index(jobs, Job, i);
        if (job->pid <= 0)
            continue;
        bool goes_on = take(job), late = g_get_monotonic_time() >= job->deadline_us;
        if (goes_on && !late)
            running++;
        else
            finish(job, goes_on);
    }
    return running;
}

static void clear_job(gpointer data)
{
    g_ptr_array_unref(((Job *)data)->result.findings);
}

static void add_job(GArray *jobs, const CheckInfo *check, Place place)
{
    Job job = {.result = {check, place, findings_new()}, .fd = -1};
    g_array_append_val(jobs, job);
}

static GArray *plan(guint places, guint64 only)
{
    GArray *jobs = g_array_new(FALSE, FALSE, sizeof(Job));
    g_array_set_clear_func(jobs, clear_job);
    for (guint i = 0; i < N_CHECKS; i++) {
        const CheckInfo *check = &check_info[i];
        bool at_front_end = places & PLACE_FRONT_END && check->at != CHECK_AT_HOST;
        bool at_host = places & PLACE_HOST && check->at != CHECK_AT_FRONT_END;
        if (!(only >> i & 1))
            continue;
        if (at_front_end)
            add_job(jobs, check, PLACE_FRONT_END);
        if (at_host && !(at_front_end && check->at == CHECK_AT_ONCE))
            add_job(jobs, check, PLACE_HOST);
    }
    return jobs;
}

guint doctor_run(const DoctorOptions *options, guint64 only, DoctorTell tell, void *data)
{
    g_autoptr(GArray) jobs = plan(options->places, only);
    guint running = 0, told = 0;
    while (told < jobs->len) {
        running = start_more(jobs, running, options);
        for (; told < jobs->len && g_array_index(jobs, Job, told).pid < 0; told++)
            tell(&g_array_index(jobs, Job, told).result, data);
        if (running == 0)
            continue;
        wait_for_some(jobs);
        running = serve(jobs);
    }
    return jobs->len;
}

void doctor_count(DoctorSum *sum, const CheckResult *result)
{
    for (guint i = 0; i < result->findings->len; i++)
        sum->count[((const Finding *)g_ptr_array_index(result->findings, i))->verdict]++;
}
