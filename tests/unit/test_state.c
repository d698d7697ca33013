/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/state.h"
#include "gather/domstats.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "state-7.domstats"
#define BOOT "2b5e4f2e-6a3c-4a53-a7f5-0d6f1b1a8c11"
#define SECOND G_GINT64_CONSTANT(1000000000)

static const StateContext here = {.host = "kvm-a", .boot_id = BOOT, .boottime_ns = 1000 * SECOND};

static Sample *sample_of_here(void)
{
    Sample *sample = sample_new();
    sample->realtime_ns = 1700000000 * SECOND;
    sample->boottime_ns = 940 * SECOND;
    sample->cycle = 12;
    sample->boot_id = g_strdup(BOOT);
    sample->host = g_strdup("kvm-a");
    VmSample *later = add_vm(sample, "one-84", "u84", 8), *vm = add_vm(sample, "one-83", "u83", 7);
    vm->boottime_ns = 941 * SECOND;
    vm->ran = true;
    vm->sent_keys = g_strdup("CPU MEMORY");
    put_figures(vm, "cpu.time=18446744073709551615 net.0.name=n net.0.rx.bytes=5");
    put_figures(later, "cpu.time=1");
    return sample;
}

static void save(const char *dir, const Sample *sample)
{
    g_autoptr(GError) error = NULL;
    if (!state_save(dir, NAME, sample, &error))
        fail_msg("%s", error->message);
}

static void write_file(const char *dir, const char *content, gssize length)
{
    g_autofree char *path = g_build_filename(dir, NAME, NULL);
    g_autoptr(GError) error = NULL;
    if (!g_file_set_contents(path, content, length, &error))
        fail_msg("%s", error->message);
    g_chmod(path, 0600);
}

/* Not used, for that reason; `%s` in the reason stands for the directory. */
static void check_unusable(const char *dir, const StateContext *context, const char *reason)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) parts = g_strsplit(reason, "%s", -1);
    g_autofree char *why = g_strjoinv(dir, parts);
    g_autofree char *message = g_strdup_printf("previous sample %s/" NAME " not used: %s", dir, why);
    g_autoptr(Sample) sample = state_load(dir, NAME, context, &error);
    assert_null(sample);
    CHECK_TEXT(error->message, message, reason);
    assert_true(g_error_matches(error, STATE_ERROR, STATE_ERROR_UNUSABLE));
    assert_null(state_load(dir, NAME, context, NULL)); /* nobody asked why */
}

/* --- tests --- */

static void names_are_safe(void **state)
{
    (void)state;
    static const struct {
        const char *host, *name;
    } cases[] = {
        {"7", "state-7.domstats"},        {"kvm-a_B9", "state-kvm-a_B9.domstats"},
        {"", "state-.domstats"},          {"../../etc/x y", "state-______etc_x_y.domstats"},
        {"a.b\n", "state-a_b_.domstats"}, {"é", "state-__.domstats"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = state_file_name(cases[i].host);
        CHECK_TEXT(name, cases[i].name, cases[i].host);
    }
    g_autofree char *dir = state_default_dir();
    g_autofree char *want = g_strdup_printf("/var/tmp/one-telemetry-%u", (unsigned)geteuid());
    assert_string_equal(dir, want);
}

static void what_is_saved_is_loaded(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    save(*state, sample);
    g_autoptr(GError) error = NULL;
    g_autoptr(Sample) loaded = state_load(*state, NAME, &here, &error);
    if (!loaded)
        fail_msg("%s", error->message);
    sample_sort(sample); /* it comes back sorted, ready for sample_find */
    check_same_raw(loaded, sample);
}

static void saving_again_replaces(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    save(*state, sample);
    sample->cycle = 13;
    g_ptr_array_set_size(sample->vms, 1);
    save(*state, sample);
    g_autoptr(Sample) loaded = state_load(*state, NAME, &here, NULL);
    check_same_raw(loaded, sample);
    guint files = 0;
    g_autoptr(GDir) dir = g_dir_open(*state, 0, NULL);
    while (g_dir_read_name(dir))
        files++;
    assert_int_equal(files, 1); /* no temporary file is left */
    g_autofree char *path = g_build_filename(*state, NAME, NULL);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void a_first_run_is_told_apart(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *message = g_strdup_printf("%s/" NAME ": no previous sample", (char *)*state);
    assert_null(state_load(*state, NAME, &here, &error));
    assert_true(g_error_matches(error, STATE_ERROR, STATE_ERROR_MISSING));
    assert_string_equal(error->message, message);
}

static void the_directory_is_made(void **state)
{
    g_autofree char *dir = g_build_filename(*state, "new", NULL);
    g_autoptr(Sample) sample = sample_of_here();
    save(dir, sample);
    struct stat status;
    assert_int_equal(stat(dir, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    g_autoptr(Sample) loaded = state_load(dir, NAME, &here, NULL);
    assert_non_null(loaded);
}

static void damaged_files_are_not_used(void **state)
{
    static const struct {
        const char *content, *reason;
    } cases[] = {
        {"", "line 1: the file holds no domain and no header"},
        {"garbage", "line 1: expected Domain: 'NAME' or an indented key=value, found \"garbage\""},
        {"# one-telemetry domstats 1 realtime=1 boot=" BOOT " host=kvm-a\nDomain: 'one-83'\n",
         "line 3: the file ends without its \"# end\" line: it was cut off"},
        {"# one-telemetry domstats 1 realtime=1 boot=" BOOT " host=kvm-a\n# end 0\n"
         "# one-telemetry domstats 1 realtime=2 boot=" BOOT " host=kvm-a\n# end 0\n",
         "it holds more than one collection"},
        {"Domain: 'one-83'\n  cpu.time=5\n", "it is of host \"\", this is \"kvm-a\""},
        {"# one-telemetry domstats 1 realtime=1 boot=" BOOT " host=kvm\\\"-b\n# end 0\n",
         "it is of host \"kvm\"-b\", this is \"kvm-a\""},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        write_file(*state, cases[i].content, -1);
        check_unusable(*state, &here, cases[i].reason);
    }
    write_file(*state, "Domain: 'one-1'\n\0\n", 18);
    check_unusable(*state, &here, "line 2: a NUL byte: this is no text");
}

/* Cut off anywhere, it is not used, and a new one takes its place. */
static void truncated_files_are_not_used(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    GString *text = g_string_new(NULL);
    domstats_write(sample, text);
    for (gsize length = 0; length + 1 < text->len; length += 7) {
        g_autoptr(GError) error = NULL;
        write_file(*state, text->str, (gssize)length);
        assert_null(state_load(*state, NAME, &here, &error));
        assert_true(g_error_matches(error, STATE_ERROR, STATE_ERROR_UNUSABLE));
    }
    g_string_free(text, TRUE);
    save(*state, sample);
    g_autoptr(Sample) loaded = state_load(*state, NAME, &here, NULL);
    assert_non_null(loaded);
}

static void another_hosts_file_is_not_used(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    const StateContext there = {.host = "kvm-b", .boot_id = BOOT, .boottime_ns = here.boottime_ns};
    save(*state, sample);
    check_unusable(*state, &there, "it is of host \"kvm-a\", this is \"kvm-b\"");
}

static void a_file_from_the_future_is_not_used(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    sample->boottime_ns = here.boottime_ns;
    save(*state, sample);
    g_autoptr(Sample) now = state_load(*state, NAME, &here, NULL);
    assert_non_null(now);
    sample->boottime_ns = here.boottime_ns + 60 * SECOND;
    save(*state, sample);
    check_unusable(*state, &here, "it is from the future: 60 s ahead of this boot's clock");
}

/* No domain is the same run as before, but OpenNebula still holds the keys we sent. */
static void after_a_reboot_runs_are_forgotten_and_keys_are_kept(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    const StateContext rebooted = {.host = "kvm-a", .boot_id = "another-boot", .boottime_ns = 5 * SECOND};
    save(*state, sample);
    g_autoptr(Sample) loaded = state_load(*state, NAME, &rebooted, NULL);
    assert_non_null(loaded);
    assert_int_equal(loaded->vms->len, 2);
    const VmSample *vm = g_ptr_array_index(loaded->vms, 0);
    assert_string_equal(vm->name, "one-83");
    assert_true(vm->domain_id == -1);
    assert_string_equal(vm->sent_keys, "CPU MEMORY");
    assert_true(loaded->cycle == 12);
    g_autoptr(VmSample) now = vm_sample_new("one-83");
    now->uuid = g_strdup("u83");
    now->domain_id = 7; /* ids start anew, so it may well be the same number */
    assert_ptr_equal(sample_find(loaded, now), vm);
    assert_null(sample_find_run(loaded, now));
}

static void links_are_not_followed(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    g_autofree char *real = g_build_filename(*state, "real", NULL), *link = g_build_filename(*state, "link", NULL);
    g_autofree char *file = g_build_filename(real, NAME, NULL), *moved = g_build_filename(real, "moved", NULL);
    save(real, sample);
    assert_int_equal(symlink(real, link), 0);
    check_unusable(link, &here, "%s: is a symbolic link");
    g_autoptr(GError) error = NULL;
    assert_false(state_save(link, NAME, sample, &error));
    assert_non_null(error);

    assert_int_equal(g_rename(file, moved), 0);
    assert_int_equal(symlink(moved, file), 0);
    check_unusable(real, &here, "%s/" NAME ": is a symbolic link");
    sample->cycle = 99;
    save(real, sample); /* takes the link's place, not what it points to */
    assert_false(g_file_test(file, G_FILE_TEST_IS_SYMLINK));
    g_autofree char *content = NULL;
    assert_true(g_file_get_contents(moved, &content, NULL, NULL));
    assert_non_null(strstr(content, "cycle=12"));
}

static void what_is_no_file_is_not_read(void **state)
{
    g_autofree char *path = g_build_filename(*state, NAME, NULL);
    assert_int_equal(mkfifo(path, 0600), 0);
    check_unusable(*state, &here, "%s/" NAME ": is not a regular file");
    assert_int_equal(g_remove(path), 0);
    assert_int_equal(g_mkdir(path, 0700), 0);
    check_unusable(*state, &here, "%s/" NAME ": is not a regular file");
}

static void what_others_may_write_is_not_used(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    g_autofree char *path = g_build_filename(*state, NAME, NULL);
    save(*state, sample);
    assert_int_equal(g_chmod(path, 0620), 0);
    check_unusable(*state, &here, "%s/" NAME ": others may write to it (mode 0620)");
    assert_int_equal(g_chmod(path, 0600), 0);
    assert_int_equal(g_chmod(*state, 0777), 0);
    check_unusable(*state, &here, "%s: others may write to it (mode 0777)");
    g_autoptr(GError) error = NULL;
    assert_false(state_save(*state, NAME, sample, &error));
    assert_non_null(error);
}

static void what_belongs_to_another_is_not_used(void **state)
{
    if (geteuid() != 0)
        skip(); /* only root can give files away */
    g_autoptr(Sample) sample = sample_of_here();
    g_autofree char *path = g_build_filename(*state, NAME, NULL);
    save(*state, sample);
    assert_int_equal(chown(path, 12345, 12345), 0);
    check_unusable(*state, &here, "%s/" NAME ": belongs to user 12345, not to user 0");
    assert_int_equal(chown(path, 0, 0), 0);
    assert_int_equal(chown(*state, 12345, 12345), 0);
    check_unusable(*state, &here, "%s: belongs to user 12345, not to user 0");
    g_autoptr(GError) error = NULL;
    assert_false(state_save(*state, NAME, sample, &error));
    assert_non_null(error);
    assert_int_equal(chown(*state, 0, 0), 0);
}

static void a_failed_save_leaves_the_file_before(void **state)
{
    g_autoptr(Sample) sample = sample_of_here();
    g_autofree char *missing = g_build_filename(*state, "no", "such", NULL);
    g_autoptr(GError) error = NULL;
    assert_false(state_save(missing, NAME, sample, &error));
    assert_non_null(error);
    assert_false(state_save(missing, NAME, sample, NULL));

    save(*state, sample);
    g_autofree char *block = g_strdup_printf("%s/" NAME ".tmp-%d", (char *)*state, (int)getpid());
    g_autofree char *inside = g_build_filename(block, "x", NULL);
    assert_int_equal(g_mkdir_with_parents(inside, 0700), 0); /* the temporary file can't be made */
    sample->cycle = 99;
    g_autoptr(GError) blocked = NULL;
    assert_false(state_save(*state, NAME, sample, &blocked));
    g_autoptr(Sample) loaded = state_load(*state, NAME, &here, NULL);
    assert_non_null(loaded);
    assert_true(loaded->cycle == 12);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_directory, tear_down_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_safe),
        TEST(what_is_saved_is_loaded),
        TEST(saving_again_replaces),
        TEST(a_first_run_is_told_apart),
        TEST(the_directory_is_made),
        TEST(damaged_files_are_not_used),
        TEST(truncated_files_are_not_used),
        TEST(another_hosts_file_is_not_used),
        TEST(a_file_from_the_future_is_not_used),
        TEST(after_a_reboot_runs_are_forgotten_and_keys_are_kept),
        TEST(links_are_not_followed),
        TEST(what_is_no_file_is_not_read),
        TEST(what_others_may_write_is_not_used),
        TEST(what_belongs_to_another_is_not_used),
        TEST(a_failed_save_leaves_the_file_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
