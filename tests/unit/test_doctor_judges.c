/* SPDX-License-Identifier: Apache-2.0
 * What the doctor says of what it has seen: a table of facts and verdicts for each check. */
#include "gather_helpers.h"

#include "doctor/judges.h"

#include <string.h>

/* The finding has that verdict, and both texts hold what is expected; NULL: there is none. Frees it. */
static void check_finding(Finding *finding, Verdict verdict, const char *text, const char *mend, const char *label)
{
    CHECK(finding != NULL, "%s", label);
    CHECK(finding->verdict == verdict, "%s: %s: %s", label, verdict_word(finding->verdict), finding->text);
    CHECK(strstr(finding->text, text) != NULL, "%s: %s", label, finding->text);
    if (mend)
        CHECK(finding->mend && strstr(finding->mend, mend), "%s: %s", label, finding->mend ? finding->mend : "no mend");
    else
        CHECK(finding->mend == NULL, "%s: %s", label, finding->mend);
    finding_free(finding);
}

/* The same of the one that `findings` has at `i`. */
static void check_one(const GPtrArray *findings, guint i, Verdict verdict, const char *text, const char *mend)
{
    CHECK(i < findings->len, "%u findings, wanted %s", findings->len, text);
    const Finding *finding = g_ptr_array_index(findings, i);
    check_finding(finding_new(finding->verdict, finding->mend, "%s", finding->text), verdict, text, mend, text);
}

static void test_user(void **state)
{
    (void)state;
    check_finding(judge_user("oneadmin", 9869, 9869), VERDICT_OK, "called by oneadmin", NULL, "itself");
    check_finding(judge_user("oneadmin", 9869, 0), VERDICT_OK, "each check is made as oneadmin (uid 9869)", NULL,
                  "root");
    check_finding(judge_user("oneadmin", 9869, 1000), VERDICT_WARNING, "called by user 1000",
                  "sudo -u oneadmin one-telemetry doctor", "another");
    check_finding(judge_user("oneadmin", NO_USER, 0), VERDICT_ERROR, "there is no user oneadmin", "--user NAME",
                  "none");
}

static void test_opennebula(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        Verdict verdict;
    } rows[] = {{"7.4.0", VERDICT_OK},     {"5.12.0.4", VERDICT_OK},   {"6.10", VERDICT_OK},
                {"5.11.9", VERDICT_ERROR}, {"4.14", VERDICT_ERROR},    {"8.0.0", VERDICT_WARNING},
                {"", VERDICT_WARNING},     {"seven", VERDICT_WARNING}, {NULL, VERDICT_WARNING}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Finding) finding = judge_opennebula(rows[i].version);
        CHECK(finding->verdict == rows[i].verdict, "%s: %s", rows[i].version, finding->text);
    }
}

static void test_clocks(void **state)
{
    (void)state;
    check_finding(judge_clock(true, 1500), VERDICT_OK, "to 1.5 ms", NULL, "right");
    check_finding(judge_clock(false, 16000000), VERDICT_WARNING, "nothing keeps", "chrony", "free");
    static const struct {
        gint64 skew_ms, within_ms;
        int verdict; /* -1: nothing is said */
        const char *text;
    } rows[] = {
        {0, 0, -1, ""},
        {2000, 0, -1, ""},
        {2001, 0, VERDICT_WARNING, "kvm1: its clock is 2.0 s ahead of ours"},
        {-4500, 500, VERDICT_WARNING, "4.5 s behind ours"},
        {4000, 2500, -1, ""}, /* it may be less */
        {60500, 499, VERDICT_ERROR, "1 min ahead"},
        {60500, 500, VERDICT_WARNING, "1 min ahead"},
        {-86400000, 10, VERDICT_ERROR, "1 d behind"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Finding *finding = judge_skew("kvm1", rows[i].skew_ms, rows[i].within_ms);
        if (rows[i].verdict < 0)
            CHECK(finding == NULL, "row %u", i);
        else
            check_finding(finding, (Verdict)rows[i].verdict, rows[i].text, "chronyc tracking", rows[i].text);
    }
}

static void test_access(void **state)
{
    (void)state;
    CHECK(judge_file_access("/x", 0, 0100644, 9869, "oneadmin") == NULL, "root's");
    CHECK(judge_file_access("/x", 9869, 0100600, 9869, "oneadmin") == NULL, "oneadmin's");
    CHECK(judge_file_access("/x", 1000, 0100644, NO_USER, "oneadmin") == NULL, "nobody knows");
    check_finding(judge_file_access("/a b", 1000, 0100644, 9869, "oneadmin"), VERDICT_ERROR, "belongs to user 1000",
                  "sudo chown oneadmin: '/a b'", "another's");
    check_finding(judge_file_access("/x", 0, 0100664, 9869, "oneadmin"), VERDICT_ERROR, "by its group (mode 0664)",
                  "chmod go-w /x", "group");
    check_finding(judge_file_access("/x", 0, 0100646, 9869, "oneadmin"), VERDICT_ERROR, "by everybody", "chmod go-w /x",
                  "all");
}

static void test_installed(void **state)
{
    (void)state;
    const FileFact good = {true, true}, plain = {true, false}, none = {false, false};
    InstalledFacts facts = {.tree = "/t",
                            .place = PLACE_HOST,
                            .user = "oneadmin",
                            .has_qemu = true,
                            .kvm = good,
                            .qemu = good,
                            .same = true};
    check_finding(judge_installed(&facts), VERDICT_OK, "in both trees of /t", NULL, "well");
    facts.same = false;
    check_finding(judge_installed(&facts), VERDICT_WARNING, "differ", "onehost sync --force", "differ");
    facts.qemu = plain;
    check_finding(judge_installed(&facts), VERDICT_ERROR,
                  "/t/im/qemu-probes.d/vm/monitor/telemetry may not be executed", "chmod 755", "plain");
    facts.has_qemu = false;
    check_finding(judge_installed(&facts), VERDICT_OK, "in the tree of /t", NULL, "one tree");
    facts.kvm = none;
    check_finding(judge_installed(&facts), VERDICT_ERROR, "there is no probe /t/im/kvm-probes.d", "onehost sync",
                  "none");
    facts.place = PLACE_FRONT_END;
    check_finding(judge_installed(&facts), VERDICT_ERROR, "there is no probe", "install.sh", "none on the front-end");
}

static void test_leftovers(void **state)
{
    (void)state;
    static const char *const leftovers[] = {"poll.rb~",     ".hidden",          "poll.rb.dpkg-old", "poll.rb.dpkg-dist",
                                            "poll.rb.bak",  "telemetry.rpmnew", "telemetry2",       "telemetry.orig",
                                            ".poll.rb.swp", "poll.rb.ucf-old"};
    static const char *const probes[] = {"poll.rb", "telemetry", "monitor_ds_vm.rb", "my_probe.sh", "backup.rb"};
    for (guint i = 0; i < G_N_ELEMENTS(leftovers); i++)
        CHECK(judge_is_leftover(leftovers[i]), "%s", leftovers[i]);
    for (guint i = 0; i < G_N_ELEMENTS(probes); i++)
        CHECK(!judge_is_leftover(probes[i]), "%s", probes[i]);
}

static void test_mode(void **state)
{
    (void)state;
    const FileFact runs = {true, true}, plain = {true, false}, none = {false, false};
    const char *user = "oneadmin";
    check_finding(judge_mode("/t", "/t/d", false, runs, user, PLACE_FRONT_END), VERDICT_OK, "beside", NULL, "beside");
    check_finding(judge_mode("/t", "/t/d", true, plain, user, PLACE_FRONT_END), VERDICT_OK, "replace", NULL, "replace");
    check_finding(judge_mode("/t", "/t/d", true, none, user, PLACE_HOST), VERDICT_OK, "replace", NULL, "replace, none");
    check_finding(judge_mode("/t", "/t/d", true, runs, user, PLACE_FRONT_END), VERDICT_WARNING,
                  "/t/d/poll.rb is executed", "chmod a-x /t/d/poll.rb\nsudo -u oneadmin onehost sync --force", "both");
    check_finding(judge_mode("/t", "/t/d", false, plain, user, PLACE_FRONT_END), VERDICT_WARNING, "may not be executed",
                  "chmod 755 /t/d/poll.rb", "neither");
    check_finding(judge_mode("/t", "/t/d", false, none, user, PLACE_HOST), VERDICT_WARNING, "is not there", "front-end",
                  "host");
}

static void test_periods(void **state)
{
    (void)state;
    PeriodFacts facts = {.monitor_vm = 30,
                         .deadline = 10,
                         .stale_after = 90,
                         .least_max_age = 604800,
                         .monitord_conf = "/m",
                         .probe_conf = "/p",
                         .server_conf = "/s"};
    g_autoptr(GPtrArray) well = judge_periods(&facts);
    check_one(well, 0, VERDICT_OK, "MONITOR_VM 30 s, our deadline 10 s, stale after 90 s", NULL);
    facts.monitor_vm = 4000;
    facts.least_max_age = 7999;
    g_autoptr(GPtrArray) slow = judge_periods(&facts);
    CHECK(slow->len == 3, "%u", slow->len);
    check_one(slow, 0, VERDICT_WARNING, "stale after 90 s", "in /s, section [telemetry]: stale_after = 12000s");
    check_one(slow, 1, VERDICT_WARNING, "no rates are made over more than 3600 s", "in /m, PROBES_PERIOD");
    check_one(slow, 2, VERDICT_WARNING, "dropped after 7999 s", "in /p, in that [sink]");
    facts.monitor_vm = 10;
    facts.least_max_age = 0;
    g_autoptr(GPtrArray) quick = judge_periods(&facts);
    CHECK(quick->len == 1, "%u", quick->len);
    check_one(quick, 0, VERDICT_WARNING, "may take 10 s (deadline)", "in /p, section [probe]: deadline = 5");
}

static void test_libvirt(void **state)
{
    (void)state;
    static const struct {
        const char *problem, *text, *mend;
    } rows[] = {
        {"cannot connect: Failed to connect socket to '/run/x': Permission denied", "oneadmin may not use libvirt",
         "usermod -aG libvirt oneadmin"},
        {"authentication unavailable: no polkit agent available", "may not use", "polkit"},
        {"Failed to connect socket to '/run/x': No such file or directory", "No such file", "enable --now libvirtd"},
        {"Failed to connect socket to '/run/x': Connection refused", "refused", "systemctl status libvirtd"},
        {"internal error: out of cheese", "out of cheese", "sudo -u oneadmin virsh -r -c 'qemu:///system?a=b' list"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        check_finding(judge_libvirt_failure("qemu:///system?a=b", rows[i].problem, "oneadmin"), VERDICT_ERROR,
                      rows[i].text, rows[i].mend, rows[i].problem);
    check_finding(judge_libvirt("qemu+tls://user:pass@h/system", 3.4, 1, 0), VERDICT_OK,
                  "qemu+tls://***@h/system answers in 3 ms: 1 domain named one-*", NULL, "well");
    check_finding(judge_libvirt("qemu:///system", 2500, 12, 3), VERDICT_WARNING, "took 2.5 s to answer: 12 domains",
                  "journalctl", "slow");
}

static void set_period(GHashTable *periods, guint64 vm_id, gint64 period)
{
    g_hash_table_insert(periods, g_memdup(&vm_id, sizeof vm_id), g_memdup(&period, sizeof period));
}

static void test_balloon(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    g_autoptr(GHashTable) periods = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    sample->realtime_ns = G_GINT64_CONSTANT(1700000000) * 1000000000;
    g_autoptr(GPtrArray) empty = judge_balloon("qemu:///system", sample, periods);
    check_one(empty, 0, VERDICT_OK, "no guest runs here", NULL);
    put_figures(add_vm(sample, "one-1", "u1", 1), "balloon.last-update=1699999990");
    g_autoptr(GPtrArray) well = judge_balloon("qemu:///system", sample, periods);
    check_one(well, 0, VERDICT_OK, "all guests tell of their memory: 1", NULL);
    put_figures(add_vm(sample, "one-2", "u2", 2), "balloon.last-update=0");
    add_vm(sample, "one-3", "u3", 3);
    put_figures(add_vm(sample, "one-4", "u4", 4), "balloon.last-update=1699999000");
    put_figures(add_vm(sample, "one-5", "u5", 5), "balloon.last-update=18446744073709551615");
    row_set_u64(add_vm(sample, "one-6", "u6", 6)->row, METRIC_VM_LOCKED, 1);
    add_vm(sample, "one-7", "u7", 7);
    add_vm(sample, "one-8", "u8", 8);
    put_figures(add_vm(sample, "one-9", "u9", 9), "balloon.last-update=1699999000");
    set_period(periods, 2, 0);
    set_period(periods, 3, BALLOON_UNKNOWN);
    set_period(periods, 7, BALLOON_NO_DEVICE);
    set_period(periods, 8, 10);
    set_period(periods, 4, 10);
    set_period(periods, 9, 0); /* has told once, when it started */
    g_autoptr(GPtrArray) some = judge_balloon("qemu:///system", sample, periods);
    CHECK(some->len == 5, "%u", some->len);
    check_one(some, 0, VERDICT_WARNING,
              "3 of 9 guests have no period for balloon statistics, so nothing is known of their own memory: one-2, "
              "one-3, one-9",
              "virsh -c qemu:///system dommemstat one-2 --period 10 --live\n");
    check_one(some, 1, VERDICT_WARNING,
              "1 of 9 guests have no memory balloon, so nothing is known of their own memory: one-7", "RAW = [");
    check_one(some, 2, VERDICT_WARNING, "1 of 9 guests have never told their memory, though they are asked to: one-8",
              "driver");
    check_one(some, 3, VERDICT_WARNING, "2 of 9 guests have not told their memory for more than 120 s: one-4, one-5",
              "driver");
    check_one(some, 4, VERDICT_WARNING, "1 of 9 guests are held by a job, or their QEMU does not answer: one-6",
              "domjobinfo");
    for (guint i = 10; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("one-%u", i);
        add_vm(sample, name, name, i);
    }
    g_autoptr(GPtrArray) many = judge_balloon("qemu:///system", sample, periods);
    check_one(many, 0, VERDICT_WARNING, "one-2, one-3, one-9, one-10, one-11 and 8 more", "for vm in $(virsh");
}

static void test_balloon_period(void **state)
{
    (void)state;
    static const struct {
        const char *devices;
        gint64 want;
    } rows[] = {
        {"<memballoon model='virtio'><stats period='10'/></memballoon>", 10},
        {"<memballoon model='virtio'><stats period='0'/></memballoon>", 0},
        {"<memballoon model='virtio'><alias name='x'/></memballoon>", 0},
        {"<memballoon model='virtio'><stats period='ten'/></memballoon>", 0},
        {"<memballoon model='virtio'><stats period='99999999999'/></memballoon>", G_MAXINT32},
        {"<memballoon model='none'/>", BALLOON_NO_DEVICE},
        {"<disk/>", BALLOON_NO_DEVICE},
        {"<memballoon", BALLOON_UNKNOWN},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *xml = g_strdup_printf("<domain><devices>%s</devices></domain>", rows[i].devices);
        gint64 got = judge_balloon_period(xml, strlen(xml));
        CHECK(got == rows[i].want, "%s: %d", rows[i].devices, (int)got);
    }
    CHECK(judge_balloon_period("<domain/>", 9) == BALLOON_UNKNOWN, "no devices");
}

static void test_run(void **state)
{
    (void)state;
    RunFacts facts = {.command = "probe",
                      .seconds = 0.05,
                      .bytes = 2048,
                      .records = 2,
                      .keys = 60,
                      .message = 900,
                      .limit = 65507,
                      .deadline = 10,
                      .complaints = ""};
    g_autoptr(GPtrArray) well = judge_run(&facts);
    check_one(well, 0, VERDICT_OK, "0.05 s: 2 records with 60 keys, 2.0 KiB, 900 of the 65507 bytes", NULL);
    CHECK(well->len == 1, "%u", well->len);
    facts.seconds = 5.5;
    facts.complaints = "vm_monitor: 7 keys dropped (tiers above 2) to keep\nvm_monitor: one-3 is held by a job\n";
    g_autoptr(GPtrArray) slow = judge_run(&facts);
    check_one(slow, 0, VERDICT_WARNING, "more than half its deadline", "probe");
    check_one(slow, 1, VERDICT_WARNING, "the probe says: 7 keys dropped", "detail in [probe]");
    check_one(slow, 2, VERDICT_WARNING, "the probe says: one-3 is held", NULL);
    CHECK(slow->len == 3, "%u", slow->len);
    check_finding(judge_message(58956, 3, true), VERDICT_OK, "3 probes has 58956", NULL, "fits");
    check_finding(judge_message(58957, 3, false), VERDICT_WARNING, "3 probes (not all of them", "detail", "near");
    check_finding(judge_message(65508, 1, true), VERDICT_ERROR, "1 probe has 65508 bytes, the limit is 65507", "detail",
                  "over");
}

static void test_spool(void **state)
{
    (void)state;
    const guint64 gib = 1024 * 1024 * 1024;
    SpoolFacts facts = {.path = "/s",
                        .exists = true,
                        .is_dir = true,
                        .owner = 9869,
                        .user_id = 9869,
                        .mode = 040700,
                        .free_bytes = gib,
                        .disk_bytes = 100 * gib,
                        .wanted_bytes = gib / 2,
                        .user = "oneadmin"};
    check_finding(judge_spool(&facts), VERDICT_OK, "/s; 1.0 GiB are free there", NULL, "well");
    facts.free_bytes = gib / 4;
    check_finding(judge_spool(&facts), VERDICT_WARNING, "the queues may take 512.0 MiB", "df -h /", "little");
    facts.free_bytes = 1024;
    check_finding(judge_spool(&facts), VERDICT_ERROR, "is full", "df -h /", "full");
    facts.disk_bytes = 0;
    facts.mode = 040750;
    check_finding(judge_spool(&facts), VERDICT_ERROR, "mode 0750: it has to be oneadmin's alone", "chmod 700 /s",
                  "mode");
    facts.mode = 040700;
    facts.owner = 0;
    check_finding(judge_spool(&facts), VERDICT_ERROR, "belongs to user 0", "chown -R oneadmin: /s", "owner");
    facts.is_dir = false;
    check_finding(judge_spool(&facts), VERDICT_ERROR, "no directory", "chown", "link");
    facts.exists = false;
    check_finding(judge_spool(&facts), VERDICT_OK, "is made with the first batch", NULL, "none");
}

static void test_shared_spool(void **state)
{
    (void)state;
    assert_null(judge_shared_spool("/a", "/b", "/etc/one/telemetry.conf"));
    check_finding(judge_shared_spool("/a", "/a", "/etc/one/telemetry.conf"), VERDICT_WARNING, "share /a",
                  "in /etc/one/telemetry.conf: [spool] dir", "shared");
}

static void test_resend(void **state)
{
    (void)state;
    ResendFacts facts = {.has_systemd = true, .forwarder = "/t/forward", .user = "oneadmin"};
    check_finding(judge_resend(&facts), VERDICT_OK, "no sink", NULL, "no sink");
    facts.has_sinks = true;
    check_finding(judge_resend(&facts), VERDICT_WARNING, "waits for the next one", "enable --now " RESEND_TIMER,
                  "no timer");
    facts.timer_active = true;
    check_finding(judge_resend(&facts), VERDICT_OK, RESEND_TIMER, NULL, "timer");
    facts.timer_active = facts.has_systemd = false;
    check_finding(judge_resend(&facts), VERDICT_WARNING, "waits",
                  "crontab -u oneadmin -e    # */2 * * * * /t/forward --once", "no cron");
    facts.cron = true;
    check_finding(judge_resend(&facts), VERDICT_OK, "cron starts", NULL, "cron");
}

static void test_lock_holder(void **state)
{
    (void)state;
    static const char locks[] = "1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n"
                                "2: FLOCK  ADVISORY  WRITE 22 08:01:777 0 EOF\n"
                                "2: -> FLOCK  ADVISORY  WRITE 33 08:01:77 0 EOF\n"
                                "junk\n3: FLOCK  ADVISORY  WRITE x 08:01:77 0 EOF\n"
                                "4: FLOCK  ADVISORY  WRITE 44 fd:00:77 0 EOF\n";
    CHECK(judge_lock_holder(locks, 77) == 44, "%d", (int)judge_lock_holder(locks, 77));
    CHECK(judge_lock_holder(locks, 777) == 22, "another");
    CHECK(judge_lock_holder(locks, 7) == 0, "nobody");
    CHECK(judge_lock_holder("", 7) == 0, "no locks");
}

#define SECOND G_GINT64_CONSTANT(1000000000)

static void test_queues(void **state)
{
    (void)state;
    SinkSettings sink = {.name = (char *)(guintptr) "one", .limits = {.max_bytes = 1000000}};
    Ledger ledger = {.sent_lines = 5};
    SpoolWaiting waiting = {{0, 0}, 0};
    const gint64 now = 1700000000 * SECOND;
    const QueueFacts facts = {&sink, &ledger, &waiting, "forward --flush", now};
    check_finding(judge_queue(&facts), VERDICT_OK, "one: nothing waits, 5 lines sent", NULL, "well");
    ledger.dropped_batches = 2;
    ledger.rejected_lines = 3;
    check_finding(judge_queue(&facts), VERDICT_OK, "2 batches were dropped, 3 lines refused", NULL, "lost");
    waiting = (SpoolWaiting){{3, 900000}, now - 60 * SECOND};
    check_finding(judge_queue(&facts), VERDICT_WARNING, "nearly full", "forward --flush", "full");
    waiting.oldest_ns = now - 601 * SECOND;
    check_finding(judge_queue(&facts), VERDICT_ERROR,
                  "3 batches wait, 878.9 KiB, the oldest 10 min 1 s old, and nobody sends", "forward --flush",
                  "nobody");
    ledger.failures = 4;
    ledger.trouble = LEDGER_TROUBLE_BUSY;
    ledger.last_success_ns = now - 3600 * SECOND;
    strcpy(ledger.last_error, "503 no");
    check_finding(judge_queue(&facts), VERDICT_WARNING, "4 attempts failed in a row, nothing stored for 1 h: 503 no",
                  "forward --flush", "busy");
    ledger.last_success_ns -= SECOND;
    check_finding(judge_queue(&facts), VERDICT_ERROR, "4 attempts failed", "at once:\nforward --flush",
                  "busy for long");
    ledger.last_success_ns = now;
    ledger.trouble = LEDGER_TROUBLE_DENIED;
    check_finding(judge_queue(&facts), VERDICT_ERROR, "4 attempts failed", "mend what it says", "denied");
}

static void test_sinks(void **state)
{
    (void)state;
    const SinkSettings sink = {
        .name = (char *)(guintptr) "one", .url = (char *)(guintptr) "http://h:8086", .type = SINK_INFLUXDB1};
    static const struct {
        AnswerKind kind;
        Transport transport;
        long status;
        Verdict verdict;
        const char *text, *mend;
    } rows[] = {
        {ANSWER_STORED, TRANSPORT_DONE, 204, VERDICT_OK, "takes what we send, answers in 12 ms", NULL},
        {ANSWER_REFUSED, TRANSPORT_DONE, 400, VERDICT_OK, "takes what we send", NULL},
        {ANSWER_DENIED, TRANSPORT_DONE, 401, VERDICT_ERROR, "refuses us: words", "token_file, or user"},
        {ANSWER_DENIED, TRANSPORT_DONE, 404, VERDICT_ERROR, "refuses us", "database or bucket of [sink one]"},
        {ANSWER_DENIED, TRANSPORT_TLS, 0, VERDICT_ERROR, "refuses us", "ca_file in [sink one]"},
        {ANSWER_BUSY, TRANSPORT_UNREACHABLE, 0, VERDICT_ERROR, "http://h:8086: words", "curl -v http://h:8086"},
        {ANSWER_BUSY, TRANSPORT_DONE, 503, VERDICT_WARNING, "http://h:8086: words", "database"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Answer answer = {.kind = rows[i].kind, .message = (char *)(guintptr) "words"};
        const SinkReply reply = {.transport = rows[i].transport, .status = rows[i].status};
        const SinkCheck check = {.settings = &sink,
                                 .reply = (SinkReply *)(guintptr)&reply,
                                 .answer = (Answer *)(guintptr)&answer,
                                 .takes = rows[i].kind == ANSWER_STORED || rows[i].kind == ANSWER_REFUSED,
                                 .ms = 12};
        check_finding(judge_sink(&check), rows[i].verdict, rows[i].text, rows[i].mend, rows[i].text);
    }
    const SinkCheck late = {.settings = &sink, .ms = 3200},
                    unread = {.settings = &sink, .problem = (char *)(guintptr) "others may"};
    check_finding(judge_sink(&late), VERDICT_ERROR, "one: http://h:8086 has not answered within 3.2 s", "see its log",
                  "late");
    check_finding(judge_sink(&unread), VERDICT_ERROR, "others may", "--check secrets", "unread");
}

static void test_endpoint(void **state)
{
    (void)state;
    EndpointFacts facts = {
        .url = "http://h", .status = 200, .version = ONE_TELEMETRY_VERSION, .has_systemd = true, .enabled = true};
    g_autoptr(GPtrArray) well = judge_endpoint(&facts);
    check_one(well, 0, VERDICT_OK, "answers at http://h", NULL);
    CHECK(well->len == 1, "%u", well->len);
    facts.enabled = false;
    facts.version = "0.0.1";
    g_autoptr(GPtrArray) old = judge_endpoint(&facts);
    check_one(old, 1, VERDICT_WARNING, "is 0.0.1, this is " ONE_TELEMETRY_VERSION, "restart one-telemetryd");
    check_one(old, 2, VERDICT_WARNING, "not enabled", "enable --now one-telemetryd");
    facts.version = NULL;
    g_autoptr(GPtrArray) other = judge_endpoint(&facts);
    check_one(other, 1, VERDICT_ERROR, "is no telemetryd", "port in [server]");
    facts.status = 503;
    facts.said = "history";
    g_autoptr(GPtrArray) ill = judge_endpoint(&facts);
    check_one(ill, 0, VERDICT_ERROR, "is not well: 503 history", "journalctl");
    facts.problem = "Connection refused";
    g_autoptr(GPtrArray) none = judge_endpoint(&facts);
    check_one(none, 0, VERDICT_NOT_CHECKED, "is not set up to", "enable --now");
    facts.configured = true;
    g_autoptr(GPtrArray) down = judge_endpoint(&facts);
    check_one(down, 0, VERDICT_ERROR, "does not answer at http://h: Connection refused", "journalctl");
    CHECK(down->len == 1, "%u", down->len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user),        cmocka_unit_test(test_opennebula),     cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_access),      cmocka_unit_test(test_installed),      cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_mode),        cmocka_unit_test(test_periods),        cmocka_unit_test(test_libvirt),
        cmocka_unit_test(test_balloon),     cmocka_unit_test(test_balloon_period), cmocka_unit_test(test_run),
        cmocka_unit_test(test_spool),       cmocka_unit_test(test_shared_spool),   cmocka_unit_test(test_resend),
        cmocka_unit_test(test_lock_holder), cmocka_unit_test(test_queues),         cmocka_unit_test(test_sinks),
        cmocka_unit_test(test_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
