/* SPDX-License-Identifier: Apache-2.0
 * The state probe's rules, run after run: each step of a story gives what is there, what has to be told, and what has
 * to be known afterwards. */
#include "model/status.h"
#include "gather_helpers.h"

#include <stdio.h>
#include <string.h>

#define NOW 1700000000
#define TIMES 2

static char *uuid_of(int number)
{
    return g_strdup_printf("11111111-0000-4000-8000-%012d", number);
}

/* --- words --- */

static void test_words(void **state)
{
    (void)state;
    static const struct {
        int state, reason;
        const char *word;
    } rows[] = {
        {0, 0, "UNKNOWN"},  {1, 1, "RUNNING"},    {1, 99, "RUNNING"},  {2, 0, "RUNNING"},  {4, 1, "RUNNING"},
        {5, 1, "UNKNOWN"},  {6, 1, "FAILURE"},    {7, 0, "SUSPENDED"}, {8, 0, "UNKNOWN"},  {-1, -1, "UNKNOWN"},
        {3, -1, "UNKNOWN"}, {3, 0, "FAILURE"},    {3, 1, "SUSPENDED"}, {3, 2, "RUNNING"},  {3, 3, "RUNNING"},
        {3, 4, "UNKNOWN"},  {3, 5, "FAILURE"},    {3, 6, "FAILURE"},   {3, 7, "UNKNOWN"},  {3, 8, "UNKNOWN"},
        {3, 9, "UNKNOWN"},  {3, 10, "FAILURE"},   {3, 11, "RUNNING"},  {3, 12, "UNKNOWN"}, {3, 13, "FAILURE"},
        {3, 14, "UNKNOWN"}, {3, 1000, "UNKNOWN"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *label = g_strdup_printf("%d (%d)", rows[i].state, rows[i].reason);
        CHECK_TEXT(status_word(rows[i].state, rows[i].reason), rows[i].word, label);
    }
}

/* --- a table that lives on from run to run --- */

typedef struct {
    GPtrArray *rows; /* of StatusRow */
    gint64 last_full_s, next_row;
    guint writes;
} Table;

static void open_table(Table *table)
{
    *table = (Table){.rows = g_ptr_array_new_with_free_func((GDestroyNotify)status_row_free), .next_row = 1};
}

static void close_table(Table *table)
{
    g_ptr_array_unref(table->rows);
}

static StatusRow *copy_row(const StatusRow *row)
{
    StatusRow *copy = status_row_new(row->id, row->name, row->uuid, row->state);
    g_free(copy->deploy_id);
    copy->deploy_id = g_strdup(row->deploy_id);
    copy->row = row->row;
    copy->written_s = row->written_s;
    copy->missing = row->missing;
    return copy;
}

static bool remove_row(Table *table, gint64 number)
{
    for (guint i = 0; i < table->rows->len; i++)
        if (((StatusRow *)g_ptr_array_index(table->rows, i))->row == number)
            return g_ptr_array_remove_index(table->rows, i) != NULL;
    return false;
}

/* As the database does it. */
static void apply(Table *table, const StatusReport *report, gint64 now_s)
{
    table->writes += report->put->len || report->dropped->len || report->full;
    for (guint i = 0; i < report->dropped->len; i++)
        assert_true(remove_row(table, g_array_index(report->dropped, gint64, i)));
    for (guint i = 0; i < report->put->len; i++) {
        const StatusRow *row = g_ptr_array_index(report->put, i);
        assert_true(row->row == 0 || remove_row(table, row->row));
    }
    for (guint i = 0; i < report->put->len; i++) {
        StatusRow *row = copy_row(g_ptr_array_index(report->put, i));
        row->row = row->row ? row->row : table->next_row++;
        for (guint k = 0; k < table->rows->len; k++)
            assert_string_not_equal(((StatusRow *)g_ptr_array_index(table->rows, k))->uuid, row->uuid);
        g_ptr_array_add(table->rows, row);
    }
    if (report->full)
        table->last_full_s = now_s;
}

/* "7 RUNNING u1, -1 …": id, state, number of the uuid; of names other than one-<ID> the id is -1. */
static GPtrArray *vms_from(const char *text)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)status_vm_free);
    g_auto(GStrv) words = g_strsplit(text, ", ", -1);
    for (char **word = words; *word && **word; word++) {
        int id = 0, number = 0;
        char state[16];
        assert_int_equal(sscanf(*word, "%d %15s u%d", &id, state, &number), 3);
        g_autofree char *name = id < 0 ? g_strdup("web") : g_strdup_printf("one-%d", id), *uuid = uuid_of(number);
        g_ptr_array_add(vms, status_vm_new(id, name, uuid, g_intern_string(state)));
    }
    return vms;
}

/* The report in short: "FULL", "7 RUNNING u1". */
static char *told(const StatusReport *report)
{
    GString *text = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(report->text->str, "\n", -1);
    guint first = 0;
    if (report->full) {
        assert_string_equal(lines[0], "SYNC_STATE=yes");
        assert_string_equal(lines[1], "MISSING_STATE=POWEROFF");
        g_string_append(text, "FULL");
        first = 2;
    }
    for (char **line = lines + first; *line && **line; line++) {
        int id = 0, number = 0;
        char word[16];
        if (sscanf(*line, "VM = [ ID=\"%d\", DEPLOY_ID=\"11111111-0000-4000-8000-%d\", STATE=\"%15[A-Z]\" ]", &id,
                   &number, word) != 3)
            fail_msg("no record: %s", *line);
        g_autofree char *uuid = uuid_of(number);
        g_autofree char *whole = g_strdup_printf("VM = [ ID=\"%d\", DEPLOY_ID=\"%s\", STATE=\"%s\" ]", id, uuid, word);
        assert_string_equal(*line, whole);
        g_string_append_printf(text, "%s%d %s u%d", text->len ? ", " : "", id, word, number);
    }
    return g_string_free(text, FALSE);
}

static gint by_id(gconstpointer a, gconstpointer b)
{
    const StatusRow *const *left = a, *const *right = b;
    if ((*left)->id == (*right)->id)
        return strcmp((*left)->uuid, (*right)->uuid);
    return (*left)->id < (*right)->id ? -1 : 1;
}

/* "7 RUNNING u1 2": id, state, uuid, how often it was missing. */
static char *known(Table *table)
{
    GString *text = g_string_new(NULL);
    g_ptr_array_sort(table->rows, by_id);
    for (guint i = 0; i < table->rows->len; i++) {
        const StatusRow *row = g_ptr_array_index(table->rows, i);
        int number = 0;
        sscanf(row->uuid, "11111111-0000-4000-8000-%d", &number);
        CHECK_TEXT(row->deploy_id, row->uuid, "deploy id");
        g_string_append_printf(text, "%s%d %s u%d %d", text->len ? ", " : "", (int)row->id, row->state, number,
                               (int)row->missing);
    }
    return g_string_free(text, FALSE);
}

typedef struct {
    int after_s; /* since the step before */
    const char *vms, *told, *known;
} Step;

static void play(const char *name, const Step *steps, Table *table)
{
    gint64 now_s = NOW;
    for (guint i = 0; steps[i].vms; i++) {
        g_autofree char *label = g_strdup_printf("%s, step %u", name, i);
        now_s += steps[i].after_s;
        const StatusOptions options = {.now_s = now_s,
                                       .last_full_s = table->last_full_s,
                                       .sync_s = 180,
                                       .times_missing = TIMES,
                                       .obsolete_s = 720 * 60};
        g_autoptr(GPtrArray) vms = vms_from(steps[i].vms);
        g_autoptr(StatusReport) report = status_report(vms, table->rows, &options);
        g_autofree char *got = told(report);
        CHECK_TEXT(got, steps[i].told, label);
        apply(table, report, now_s);
        g_autofree char *rows = known(table);
        CHECK_TEXT(rows, steps[i].known, label);
    }
}

/* --- stories --- */

static const struct {
    const char *name;
    Step steps[16];
} stories[] = {
    {"a host without VMs", {{0, "", "FULL", ""}, {5, "", "", ""}, {176, "", "FULL", ""}, {0, NULL, NULL, NULL}}},
    {"new, changed, unchanged",
     {{0, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {5, "7 RUNNING u1", "", "7 RUNNING u1 0"},
      {5, "7 RUNNING u1, 8 RUNNING u2", "8 RUNNING u2", "7 RUNNING u1 0, 8 RUNNING u2 0"},
      {5, "7 SUSPENDED u1, 8 RUNNING u2", "7 SUSPENDED u1", "7 SUSPENDED u1 0, 8 RUNNING u2 0"},
      {5, "7 SUSPENDED u1, 8 FAILURE u2", "8 FAILURE u2", "7 SUSPENDED u1 0, 8 FAILURE u2 0"},
      {5, "8 FAILURE u2, 7 RUNNING u1", "7 RUNNING u1", "7 RUNNING u1 0, 8 FAILURE u2 0"},
      {5, "8 UNKNOWN u2, 7 RUNNING u1", "8 UNKNOWN u2", "7 RUNNING u1 0, 8 UNKNOWN u2 0"},
      {0, NULL, NULL, NULL}}},
    {"missing for too long",
     {{0, "7 RUNNING u1, 8 RUNNING u2", "FULL, 7 RUNNING u1, 8 RUNNING u2", "7 RUNNING u1 0, 8 RUNNING u2 0"},
      {5, "8 RUNNING u2", "", "7 RUNNING u1 1, 8 RUNNING u2 0"},
      {5, "8 RUNNING u2", "", "7 RUNNING u1 2, 8 RUNNING u2 0"},
      {5, "8 RUNNING u2", "7 POWEROFF u1", "8 RUNNING u2 0"},
      {5, "8 RUNNING u2", "", "8 RUNNING u2 0"},
      {5, "8 RUNNING u2, 7 RUNNING u1", "7 RUNNING u1", "7 RUNNING u1 0, 8 RUNNING u2 0"},
      {0, NULL, NULL, NULL}}},
    {"missing, and back again before it is too long",
     {{0, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {5, "", "", "7 RUNNING u1 1"},
      {5, "", "", "7 RUNNING u1 2"},
      {5, "7 RUNNING u1", "", "7 RUNNING u1 0"},
      {5, "", "", "7 RUNNING u1 1"},
      {5, "7 SUSPENDED u1", "7 SUSPENDED u1", "7 SUSPENDED u1 0"},
      {0, NULL, NULL, NULL}}},
    {"a full report names a VM that is missing but for a moment",
     {{0, "7 SUSPENDED u1, 8 RUNNING u2", "FULL, 7 SUSPENDED u1, 8 RUNNING u2", "7 SUSPENDED u1 0, 8 RUNNING u2 0"},
      {181, "8 RUNNING u2", "FULL, 8 RUNNING u2, 7 SUSPENDED u1", "7 SUSPENDED u1 1, 8 RUNNING u2 0"},
      {5, "8 RUNNING u2", "", "7 SUSPENDED u1 2, 8 RUNNING u2 0"},
      {176, "8 RUNNING u2", "FULL, 8 RUNNING u2, 7 POWEROFF u1", "8 RUNNING u2 0"},
      {181, "8 RUNNING u2", "FULL, 8 RUNNING u2", "8 RUNNING u2 0"},
      {0, NULL, NULL, NULL}}},
    {"a full report is due after more than 180 s",
     {{0, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {180, "7 RUNNING u1", "", "7 RUNNING u1 0"},
      {1, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {179, "7 RUNNING u1", "", "7 RUNNING u1 0"},
      {0, NULL, NULL, NULL}}},
    {"the clock is set back, and so the last full report is of a time to come",
     {{0, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {-3600, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {5, "7 RUNNING u1", "", "7 RUNNING u1 0"},
      {0, NULL, NULL, NULL}}},
    {"rows that are too old are not believed",
     {{0, "7 RUNNING u1, 8 RUNNING u2", "FULL, 7 RUNNING u1, 8 RUNNING u2", "7 RUNNING u1 0, 8 RUNNING u2 0"},
      {43201, "8 RUNNING u2", "FULL, 8 RUNNING u2", "8 RUNNING u2 0"},
      {0, NULL, NULL, NULL}}},
    {"a domain that is made anew under another uuid",
     {{0, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {5, "7 RUNNING u2", "7 RUNNING u2", "7 RUNNING u2 0"},
      {5, "7 RUNNING u2", "", "7 RUNNING u2 0"},
      {0, NULL, NULL, NULL}}},
    {"a uuid that goes from one VM to another",
     {{0, "7 RUNNING u1", "FULL, 7 RUNNING u1", "7 RUNNING u1 0"},
      {5, "8 RUNNING u1", "8 RUNNING u1", "8 RUNNING u1 0"},
      {5, "8 RUNNING u1, 9 RUNNING u2", "9 RUNNING u2", "8 RUNNING u1 0, 9 RUNNING u2 0"},
      {5, "8 RUNNING u2, 9 RUNNING u1", "8 RUNNING u2, 9 RUNNING u1", "8 RUNNING u2 0, 9 RUNNING u1 0"},
      {0, NULL, NULL, NULL}}},
    {"domains of other names are told of in full reports alone",
     {{0, "-1 RUNNING u9, 7 RUNNING u1", "FULL, -1 RUNNING u9, 7 RUNNING u1", "-1 RUNNING u9 0, 7 RUNNING u1 0"},
      {5, "-1 SUSPENDED u9, 7 RUNNING u1", "", "-1 SUSPENDED u9 0, 7 RUNNING u1 0"},
      {180, "7 RUNNING u1, -1 FAILURE u9", "FULL, 7 RUNNING u1, -1 FAILURE u9", "-1 FAILURE u9 0, 7 RUNNING u1 0"},
      {0, NULL, NULL, NULL}}},
    {"one that is away for a moment when a full report is due is named by its last state",
     {{0, "-1 RUNNING u9", "FULL, -1 RUNNING u9", "-1 RUNNING u9 0"},
      {181, "", "FULL, -1 RUNNING u9", "-1 RUNNING u9 1"},
      {5, "-1 RUNNING u9", "", "-1 RUNNING u9 0"},
      {0, NULL, NULL, NULL}}},
    {"and is gone after as many misses as a VM",
     {{0, "-1 RUNNING u9, -1 RUNNING u8", "FULL, -1 RUNNING u9, -1 RUNNING u8", "-1 RUNNING u8 0, -1 RUNNING u9 0"},
      {5, "-1 RUNNING u8", "", "-1 RUNNING u8 0, -1 RUNNING u9 1"},
      {5, "-1 RUNNING u8", "", "-1 RUNNING u8 0, -1 RUNNING u9 2"},
      {5, "-1 RUNNING u8", "-1 POWEROFF u9", "-1 RUNNING u8 0"},
      {5, "-1 RUNNING u8, -1 RUNNING u9", "-1 RUNNING u9", "-1 RUNNING u8 0, -1 RUNNING u9 0"},
      {175, "-1 RUNNING u8", "FULL, -1 RUNNING u8, -1 RUNNING u9", "-1 RUNNING u8 0, -1 RUNNING u9 1"},
      {0, NULL, NULL, NULL}}},
    {"a domain that is given a VM's name, and another",
     {{0, "-1 RUNNING u9", "FULL, -1 RUNNING u9", "-1 RUNNING u9 0"},
      {5, "7 RUNNING u9", "7 RUNNING u9", "7 RUNNING u9 0"},
      {5, "-1 RUNNING u9", "-1 RUNNING u9", "-1 RUNNING u9 0"},
      {0, NULL, NULL, NULL}}},
    {"ids and uuids change places while one is missing",
     {{0, "7 RUNNING u1, 8 RUNNING u2", "FULL, 7 RUNNING u1, 8 RUNNING u2", "7 RUNNING u1 0, 8 RUNNING u2 0"},
      {5, "7 RUNNING u2", "7 RUNNING u2", "7 RUNNING u2 0"},
      {0, NULL, NULL, NULL}}},
};

static void test_stories(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(stories); i++) {
        Table table;
        open_table(&table);
        play(stories[i].name, stories[i].steps, &table);
        close_table(&table);
    }
}

/* --- what is written --- */

static guint writes_of(const char *vms, int seconds, int step_s)
{
    Table table;
    open_table(&table);
    for (int at = 0; at <= seconds; at += step_s) {
        const StatusOptions options = {NOW + at, table.last_full_s ? table.last_full_s : 0, 180, TIMES, 720 * 60};
        g_autoptr(GPtrArray) now = vms_from(vms);
        g_autoptr(StatusReport) report = status_report(now, table.rows, &options);
        apply(&table, report, NOW + at);
    }
    guint writes = table.writes;
    close_table(&table);
    return writes;
}

static void test_quiet(void **state)
{
    (void)state;
    assert_int_equal(writes_of("7 RUNNING u1, 8 SUSPENDED u2, -1 RUNNING u3", 180, 5), 1);
    assert_int_equal(writes_of("7 RUNNING u1, 8 SUSPENDED u2, -1 RUNNING u3", 900, 5), 5);
}

/* Full reports so rare that rows would get too old between two of them. */
static void test_refreshed(void **state)
{
    (void)state;
    Table table;
    open_table(&table);
    g_autoptr(GPtrArray) vms = vms_from("7 RUNNING u1");
    for (int at = 0; at <= 600; at += 5) {
        const StatusOptions options = {NOW + at, at ? NOW : 0, 1000000, TIMES, 60};
        g_autoptr(StatusReport) report = status_report(vms, table.rows, &options);
        apply(&table, report, NOW + at);
        assert_int_equal(report->text->len > 0, at == 0);
        const StatusRow *row = g_ptr_array_index(table.rows, 0);
        assert_in_range(row->written_s, NOW + at - 15, NOW + at);
    }
    close_table(&table);
}

/* --- rows as others may have left them --- */

static StatusRow *add_row(Table *table, gint64 id, int number, const char *state)
{
    g_autofree char *uuid = uuid_of(number);
    StatusRow *row = status_row_new(id, "one", uuid, state);
    row->row = table->next_row++;
    row->written_s = NOW - 5;
    g_ptr_array_add(table->rows, row);
    return row;
}

static void test_odd_rows(void **state)
{
    (void)state;
    Table table;
    open_table(&table);
    table.last_full_s = NOW - 5;
    add_row(&table, -1, 1, NULL);     /* of a domain of another name, as OpenNebula's own keeps it */
    add_row(&table, 7, 2, "RUNNING"); /* twice: the later one counts */
    add_row(&table, 7, 3, "SUSPENDED")->written_s = NOW - 3;
    add_row(&table, 7, 4, "FAILURE")->written_s = NOW - 9;
    StatusRow *row = add_row(&table, 8, 5, "RUNNING"); /* without a uuid */
    g_clear_pointer(&row->uuid, g_free);
    add_row(&table, 9, 6, "x\" ]\nSYNC_STATE=yes")->missing = -5;
    add_row(&table, 10, 7, NULL)->missing = G_MAXINT64;
    row = add_row(&table, 11, 8, "RUNNING");
    row->written_s = NOW + 1000; /* of a time to come */
    row->missing = G_MININT64;
    const Step steps[] = {{5, "7 SUSPENDED u3, 11 RUNNING u8", "10 POWEROFF u7",
                           "-1 UNKNOWN u1 1, 7 SUSPENDED u3 0, 9 UNKNOWN u6 1, 11 RUNNING u8 0"},
                          {176, "7 SUSPENDED u3, 11 RUNNING u8",
                           "FULL, 7 SUSPENDED u3, 11 RUNNING u8, -1 UNKNOWN u1, 9 UNKNOWN u6",
                           "-1 UNKNOWN u1 2, 7 SUSPENDED u3 0, 9 UNKNOWN u6 2, 11 RUNNING u8 0"},
                          {0, NULL, NULL, NULL}};
    play("odd rows", steps, &table);
    for (guint i = 0; i < table.rows->len; i++)
        assert_true(((StatusRow *)g_ptr_array_index(table.rows, i))->written_s <= NOW + 181);
    close_table(&table);
}

static void test_odd_deploy_id(void **state)
{
    (void)state;
    Table table;
    open_table(&table);
    StatusRow *row = add_row(&table, 9, 1, "RUNNING");
    g_free(row->deploy_id);
    row->deploy_id = g_strdup("one-9\" ]\nVM = [ \\\xff");
    const StatusOptions options = {NOW, 0, 180, TIMES, 720 * 60};
    g_autoptr(GPtrArray) none = vms_from("");
    g_autoptr(StatusReport) report = status_report(none, table.rows, &options);
    CHECK_TEXT(report->text->str,
               "SYNC_STATE=yes\nMISSING_STATE=POWEROFF\n"
               "VM = [ ID=\"9\", DEPLOY_ID=\"one-9\\\" ] VM = [ \\\\\xef\xbf\xbd\", STATE=\"RUNNING\" ]\n",
               "report");
    close_table(&table);
}

/* --- whatever happens --- */

/* VMs come, go, change and swap uuids at random. By another way of counting: a VM is never said to be off unless it was
 * missing in TIMES + 1 runs without a break, a full report leaves out none that was there in the last TIMES runs, and
 * who reads all reports knows every state. */
static void test_random(void **state)
{
    (void)state;
    enum { VMS = 8, RUNS = 4000 };
    static const char *const words[] = {"RUNNING", "SUSPENDED", "FAILURE", "UNKNOWN"};
    g_autoptr(GRand) random = seeded_random();
    const char *is[VMS] = {NULL}, *believed[VMS] = {NULL};
    int uuid[VMS], missing[VMS];
    Table table;
    open_table(&table);
    for (int i = 0; i < VMS; i++) {
        uuid[i] = i + 1;
        missing[i] = 100;
    }
    gint64 now_s = NOW;
    for (int run = 0; run < RUNS; run++) {
        now_s += g_rand_int_range(random, 1, 40);
        g_autoptr(GString) text = g_string_new(NULL);
        for (int i = 0; i < VMS; i++) {
            if (g_rand_int_range(random, 0, 3) == 0)
                is[i] = g_rand_boolean(random) ? words[g_rand_int_range(random, 0, 4)] : NULL;
            if (!is[i] && g_rand_int_range(random, 0, 20) == 0)
                uuid[i] += VMS;
            missing[i] = is[i] ? 0 : missing[i] + 1;
            if (is[i])
                g_string_append_printf(text, "%s%d %s u%d", text->len ? ", " : "", i, is[i], uuid[i]);
        }
        const StatusOptions options = {now_s, table.last_full_s, 180, TIMES, 720 * 60};
        g_autoptr(GPtrArray) vms = vms_from(text->str);
        g_autoptr(StatusReport) report = status_report(vms, table.rows, &options);
        g_autofree char *got = told(report);
        g_auto(GStrv) parts = g_strsplit(got, ", ", -1);
        bool named[VMS] = {false};
        for (char **part = parts; *part; part++) {
            int id;
            char word[16];
            if (sscanf(*part, "%d %15s", &id, word) != 2)
                continue;
            named[id] = true;
            CHECK(strcmp(word, "POWEROFF") != 0 || missing[id] == TIMES + 1, "run %d, VM %d", run, id);
            believed[id] = strcmp(word, "POWEROFF") == 0 ? NULL : g_intern_string(word);
        }
        for (int i = 0; i < VMS; i++) {
            CHECK(!report->full || named[i] || missing[i] > TIMES, "run %d, VM %d", run, i);
            if (is[i])
                CHECK_TEXT(believed[i], is[i], "believed");
            CHECK(missing[i] <= TIMES || !believed[i], "run %d, VM %d", run, i);
        }
        apply(&table, report, now_s);
    }
    close_table(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),     cmocka_unit_test(test_stories),  cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_refreshed), cmocka_unit_test(test_odd_rows), cmocka_unit_test(test_odd_deploy_id),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
