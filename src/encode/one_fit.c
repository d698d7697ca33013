/* SPDX-License-Identifier: Apache-2.0
 * As many keys of as many VMs as OpenNebula's message has room for: see one_record.h. */
#include "encode/one_size.h"
#include "encode/one_writer.h"

#include <zlib.h>

/* Where there are many VMs, some of them tell what all will take. */
#define ESTIMATE_FROM 128 /* VMs */
#define ESTIMATE_BY 32
#define WINDOW_GUESSES 6 /* then halves */

#define N_TIERS (ONE_TIER_MAX + 2) /* the last is the forecasts' */

/* --- all records --- */

typedef struct {
    Sample *now;
    OneOptions options;
    OneWriter *writer;
    OneSize *best;          /* compresses as OpenNebula does */
    guint top;              /* tier of a message with everything */
    GString *text[N_TIERS]; /* all records with the keys up to that tier; NULL: not yet written */
    gsize size[N_TIERS];    /* compressed; 0: not yet done, G_MAXSIZE: above size_cap */
    gsize size_cap;
    gsize estimate[N_TIERS]; /* of the size; 0: not yet done */
} Fit;

static gsize size_of(OneSize *size, const GString *text, gsize cap)
{
    one_size_begin(size, cap);
    one_size_add(size, text->str, text->len);
    return one_size_end(size);
}

/* --- the part of the VMs that a message covers --- */

typedef struct {
    guint start, count; /* wraps round */
} Window;

static bool in_window(const Fit *fit, Window window, guint i)
{
    guint n = fit->now->vms->len;
    return (i + n - window.start) % n < window.count;
}

static void append_records(Fit *fit, Window window, guint tier, GString *out)
{
    for (guint i = 0; i < window.count; i++)
        one_writer_append(fit->writer, (window.start + i) % fit->now->vms->len, tier, out);
}

/* Where the window of so many VMs, or some more, begins. Cycle by cycle they adjoin, so that every VM gets its turn.
 * How many VMs fit varies a little from cycle to cycle; what is advanced by is a power of two, so that it stays the
 * same and the windows do not jump. */
static guint window_start(const Fit *fit, guint count)
{
    const guint n = fit->now->vms->len;
    const guint64 step = (guint64)1 << (g_bit_storage(count) - 1);
    return (guint)(fit->options.cycle % n * step % n);
}

/* --- fitting --- */

typedef struct {
    guint tier;
    Window window;
    GString *text;
} Choice;

/* What all records with the keys up to that tier would take, by a part of them. Few records compress worse than many
 * do, by a fifth or so. 0: there are so few VMs that it is quicker to try. */
static gsize estimate(Fit *fit, guint tier)
{
    const guint n = fit->now->vms->len;
    g_autoptr(GString) text = g_string_new(NULL);
    guint written = 0;
    if (n < ESTIMATE_FROM || fit->estimate[tier] != 0)
        return fit->estimate[tier];
    for (guint i = 0; i < n; i += n / ESTIMATE_BY, written++)
        one_writer_append(fit->writer, i, tier, text);
    fit->estimate[tier] = (gsize)((guint64)size_of(fit->best, text, G_MAXSIZE) * n / written);
    return fit->estimate[tier];
}

/* So far above that it is not worth the trial. */
static bool is_hopeless(Fit *fit, guint tier, gsize budget)
{
    const gsize size = estimate(fit, tier);
    return size - size / 3 > budget;
}

static const GString *text_of_tier(Fit *fit, guint tier)
{
    if (!fit->text[tier])
        append_records(fit, (Window){0, fit->now->vms->len}, tier, fit->text[tier] = g_string_new(NULL));
    return fit->text[tier];
}

static bool tier_fits(Fit *fit, guint tier, gsize budget)
{
    if (!fit->text[tier] && is_hopeless(fit, tier, budget))
        return false;
    const GString *text = text_of_tier(fit, tier);
    if (fit->size[tier] == 0)
        fit->size[tier] = size_of(fit->best, text, fit->size_cap);
    return fit->size[tier] <= budget;
}

/* The common case, told by a quicker compression that does not do as well. (Nothing guarantees that: hence the margin.)
 */
static bool fits_by_far(Fit *fit, guint tier, gsize budget, gsize *ret_size)
{
    if (is_hopeless(fit, tier, budget))
        return false;
    g_autoptr(OneSize) quick = one_size_new(Z_BEST_SPEED);
    const gsize size = size_of(quick, text_of_tier(fit, tier), budget);
    if (size > budget || size + size / 32 > budget)
        return false;
    *ret_size = size;
    return true;
}

/* The highest from `low`, which is known to fit, to below `high`. */
static guint highest_fitting_tier(Fit *fit, guint low, guint high, gsize budget)
{
    while (high - low > 1) {
        guint middle = (low + high) / 2;
        if (tier_fits(fit, middle, budget))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Some VMs and what they take, of which it is known whether it fits. */
typedef struct {
    guint count;
    gsize size; /* 0: not known */
} Trial;

/* The number to try, between one that fits and one that does not. The more VMs, the better they compress: what `fits`
 * says of each is rather too much. Where too many have been tried nevertheless, all in between are taken to be of one
 * size; after some steps the middle is tried, by which it comes to an end. */
static guint next_count(Trial fits, Trial too_many, gsize budget, guint step)
{
    const guint between = too_many.count - fits.count;
    guint64 count = fits.count + between / 2;
    if (step < WINDOW_GUESSES && too_many.size > fits.size)
        count = fits.count + (guint64)(budget - fits.size) * between / (too_many.size - fits.size);
    else if (step < WINDOW_GUESSES && fits.count > 0)
        count = (guint64)fits.count * budget / fits.size;
    return (guint)CLAMP(count, fits.count + 1, too_many.count - 1);
}

/* As many VMs as fit, but for the last 64th of the budget, of which nothing but tier 0 is sent. All of them are known
 * not to fit. What fits is not compressed anew for more VMs: they begin where it ends. */
static Choice choose_window(Fit *fit, gsize budget, gsize *ret_size)
{
    Choice best = {.text = g_string_new(NULL)};
    const guint n = fit->now->vms->len;
    const gsize all = estimate(fit, 0);
    Trial fits = {0}, too_many = {.count = n};
    g_autoptr(OneSize) fitting = one_size_new(Z_BEST_COMPRESSION);
    g_autoptr(OneSize) trying = one_size_new(Z_BEST_COMPRESSION);
    guint count = all ? (guint)CLAMP((guint64)n * budget / all, 1, n - 1) : n / 2;
    for (guint step = 0; too_many.count - fits.count > 1 && budget - fits.size > budget / 64; step++) {
        const gsize length = best.text->len;
        if (fits.count == 0)
            best.window.start = window_start(fit, count);
        append_records(fit, (Window){best.window.start + fits.count, count - fits.count}, 0, best.text);
        one_size_begin_with(trying, fitting);
        one_size_add(trying, best.text->str + length, best.text->len - length);
        one_size_begin_with(fit->best, trying);
        const Trial trial = {count, one_size_end(fit->best)};
        if (trial.size <= budget) {
            fits = trial;
            OneSize *behind = fitting;
            fitting = trying;
            trying = behind;
        } else {
            too_many = trial;
            g_string_truncate(best.text, length);
        }
        count = next_count(fits, too_many, budget, step);
    }
    best.window.count = fits.count;
    *ret_size = fits.size;
    return best;
}

static gsize room_beside(const Fit *fit, gsize reserve_per_vm)
{
    gsize taken = ONE_MESSAGE_HEADER + fit->now->vms->len * reserve_per_vm;
    return fit->options.limit > taken ? fit->options.limit - taken : 0;
}

static Choice choose(Fit *fit, OneReport *report)
{
    const guint detail = fit->top;
    const gsize usual = room_beside(fit, fit->options.reserve_per_vm);
    const gsize most = room_beside(fit, MIN(fit->options.reserve_least, fit->options.reserve_per_vm));
    Choice choice = {.tier = detail, .window = {0, fit->now->vms->len}};
    report->budget = usual;
    if (usual == 0 || !fits_by_far(fit, detail, usual, &report->message_bytes)) {
        guint low = MIN(detail, 1), high = detail + 1;
        fit->size_cap = most;
        if (usual == 0)
            report->budget = most;
        if (most == 0)
            return choose_window(fit, most, &report->message_bytes);
        if (!tier_fits(fit, low, report->budget)) {
            high = low;
            low = 0;
            if (!tier_fits(fit, 0, report->budget))
                return choose_window(fit, report->budget, &report->message_bytes);
        }
        choice.tier = highest_fitting_tier(fit, low, high, report->budget);
        report->message_bytes = fit->size[choice.tier];
    }
    choice.text = g_steal_pointer(&fit->text[choice.tier]);
    return choice;
}

/* --- the check --- */

/* NULL, or why the record can't be sent. */
static char *record_fault(const char *record, gsize length, const VmSample *vm, GHashTable *ids)
{
    g_autoptr(GError) error = NULL;
    if (!one_records_check(record, length, &error))
        return g_strdup_printf("%s: %s", vm->name, error->message);
    if (!g_hash_table_add(ids, (gpointer)(guintptr)&vm->vm_id))
        return g_strdup_printf("%s: another VM has its number", vm->name);
    return NULL;
}

/* Reads back what was written, and takes out the records that can't be read, for one of them is enough to put the host
 * into ERROR. `said`: the VMs that the message covers; those taken out are unset. */
static void check_text(Fit *fit, Choice *choice, bool *said, OneReport *report)
{
    if (one_records_check(choice->text->str, choice->text->len, NULL))
        return;
    g_autoptr(GHashTable) ids = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_autoptr(GString) record = g_string_new(NULL);
    g_string_truncate(choice->text, 0);
    for (guint i = 0; i < fit->now->vms->len; i++) {
        if (!said[i])
            continue;
        g_string_truncate(record, 0);
        one_writer_append(fit->writer, i, choice->tier, record);
        if (record->len == 0)
            continue;
        char *fault = record_fault(record->str, record->len, g_ptr_array_index(fit->now->vms, i), ids);
        if (!fault) {
            g_string_append_len(choice->text, record->str, (gssize)record->len);
            continue;
        }
        said[i] = false;
        report->rejected++;
        if (report->reason)
            g_free(fault);
        else
            report->reason = fault;
    }
    report->message_bytes = one_message_size(choice->text->str, choice->text->len);
}

/* --- all of it --- */

static void count_dropped(const Fit *fit, const Choice *choice, OneReport *report)
{
    for (guint i = 0; i < fit->now->vms->len; i++) {
        report->dropped_keys += one_writer_count_keys(fit->writer, i, fit->top);
        if (in_window(fit, choice->window, i))
            report->dropped_keys -= one_writer_count_keys(fit->writer, i, choice->tier);
        else
            report->vms_left_out++;
    }
}

static void remember_sent(Fit *fit, guint tier, const bool *said)
{
    for (guint i = 0; i < fit->now->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(fit->now->vms, i);
        g_free(vm->sent_keys);
        vm->sent_keys =
            said[i] ? one_writer_sent_keys(fit->writer, i, tier) : one_writer_sent_keys_before(fit->writer, i);
    }
}

GString *one_records_write(Sample *now, const Sample *previous, const OneOptions *options, OneReport *ret_report)
{
    g_autoptr(OneWriter) writer = one_writer_new(now, previous, options);
    g_autoptr(OneSize) best = one_size_new(Z_BEST_COMPRESSION);
    Fit fit = {.now = now, .options = *options, .writer = writer, .best = best};
    fit.options.detail = MIN(options->detail, ONE_TIER_MAX);
    fit.top = one_writer_top_tier(writer);
    fit.options.limit = MIN(options->limit, ONE_MESSAGE_MAX);

    OneReport report = {.reason = NULL};
    Choice choice = choose(&fit, &report);
    report.tier = MIN(choice.tier, fit.options.detail);
    count_dropped(&fit, &choice, &report);

    g_autofree bool *said = g_new0(bool, now->vms->len);
    for (guint i = 0; i < now->vms->len; i++)
        said[i] = in_window(&fit, choice.window, i);
    check_text(&fit, &choice, said, &report);
    remember_sent(&fit, choice.tier, said);

    for (guint tier = 0; tier < N_TIERS; tier++)
        if (fit.text[tier])
            g_string_free(fit.text[tier], TRUE);
    *ret_report = report;
    return choice.text;
}

void one_report_clear(OneReport *report)
{
    g_free(report->reason);
    *report = (OneReport){.reason = NULL};
}
