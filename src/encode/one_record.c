/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/one_writer.h"

#include "base/text.h"
#include "model/forecast.h"

#include <string.h>

/* --- values --- */

char *one_value_escape(const char *text)
{
    GString *out = g_string_new(NULL);
    text_append_escaped(out, text, ONE_VALUE_MAX);
    return g_string_free(out, FALSE);
}

/* Whether there is something to say: a flag that is not set is as good as unknown. */
static bool is_known(const MetricRow *row, Metric m)
{
    return row_has(row, m) && (metric_info[m].one_format != ONE_FLAG || row_u64(row, m) != 0);
}

static void append_value(GString *out, const MetricRow *row, Metric m)
{
    switch (metric_info[m].kind) {
    case KIND_REAL:
        text_append_dec2(out, row_real(row, m));
        break;
    case KIND_TEXT: {
        g_autofree char *escaped = one_value_escape(row_text(row, m));
        g_string_append(out, escaped);
        break;
    }
    default:
        text_append_u64(out, metric_info[m].one_format == ONE_FLAG ? 1 : row_u64(row, m));
    }
}

/* OneOptions.stock_tiers from which on poll.rb sends its forecast. */
#define STOCK_FORECAST 2

/* --- what OpenNebula holds of a VM from us --- */

/* A key is not held, live, or has had its deletion sent so many times. */
enum { HELD_NOT = 0, HELD_LIVE = G_MAXUINT8 };

typedef struct {
    char key[ONE_KEY_MAX + 1];
    guint8 held;
} RetiredKey;

typedef struct {
    const char *text;         /* sent_keys of the previous sample, or NULL */
    guint8 metric[N_METRICS]; /* HELD_… */
    GArray *retired;          /* of RetiredKey: a former version sent them. NULL: none */
} Holdings;

/* A key that is no metric's. */
typedef struct {
    const char *key, *value; /* the sample's */
    bool is_forecast;
} Extra;

struct OneWriter {
    const Sample *now;
    guint stock_tiers, detail;
    bool leave;
    Metric keys[N_METRICS]; /* that have a key, by tier */
    guint n_keys;
    GHashTable *metric_of; /* by key */
    Holdings *holdings;    /* by VM */
    GArray **extras;       /* by VM: of Extra, valid and each once, forecasts last; NULL: none */
    GString *lines;        /* KEY="VALUE" lines of the record at hand */
};

static void hold_retired(Holdings *holdings, const char *key, guint8 held)
{
    if (!holdings->retired)
        holdings->retired = g_array_new(FALSE, FALSE, sizeof(RetiredKey));
    for (guint i = 0; i < holdings->retired->len; i++)
        if (strcmp(g_array_index(holdings->retired, RetiredKey, i).key, key) == 0)
            return;
    if (holdings->retired->len >= ONE_RETIRED_MAX)
        return;
    RetiredKey retired = {.held = held};
    g_strlcpy(retired.key, key, sizeof retired.key);
    g_array_append_val(holdings->retired, retired);
}

/* Takes one KEY or KEY-n; what is neither is passed over. */
static void hold(Holdings *holdings, GHashTable *metric_of, const char *word, gsize length)
{
    char key[ONE_KEY_MAX + 1];
    guint8 held = HELD_LIVE;
    if (length > 2 && word[length - 2] == '-') {
        char digit = word[length - 1];
        if (digit < '1' || digit >= '0' + ONE_DELETE_REPEATS)
            return;
        held = (guint8)(digit - '0');
        length -= 2;
    }
    if (length > ONE_KEY_MAX)
        return;
    for (gsize i = 0; i < length; i++)
        if (!g_ascii_isupper(word[i]) && !g_ascii_isdigit(word[i]) && word[i] != '_')
            return;
    memcpy(key, word, length);
    key[length] = '\0';

    gpointer metric;
    if (g_hash_table_lookup_extended(metric_of, key, NULL, &metric))
        holdings->metric[GPOINTER_TO_UINT(metric)] = held;
    else
        hold_retired(holdings, key, held);
}

/* A state that was lost, with what it knew of former cycles, is no reason to leave something behind. */
static void hold_all(const OneWriter *w, Holdings *holdings)
{
    for (guint k = 0; k < w->n_keys; k++)
        holdings->metric[w->keys[k]] = HELD_LIVE;
}

static void read_holdings(OneWriter *w, const Sample *previous)
{
    for (guint i = 0; i < w->now->vms->len; i++) {
        if (w->leave)
            hold_all(w, &w->holdings[i]);
        const VmSample *before = sample_find(previous, g_ptr_array_index(w->now->vms, i));
        if (!before || !before->sent_keys)
            continue;
        w->holdings[i].text = before->sent_keys;
        for (const char *at = before->sent_keys; *at;) {
            gsize length = strcspn(at, " ");
            if (length > 0)
                hold(&w->holdings[i], w->metric_of, at, length);
            at += length;
            at += *at == ' ';
        }
    }
}

/* After one more message with the deletion. */
static guint8 held_after_deletion(guint8 held)
{
    guint8 times = held == HELD_LIVE ? 1 : (guint8)(held + 1);
    return times < ONE_DELETE_REPEATS ? times : HELD_NOT;
}

/* --- one record --- */

static bool is_sent(const OneWriter *w, const MetricRow *row, Metric m, guint tier)
{
    return !w->leave && metric_info[m].one_tier <= MIN(tier, w->detail) && is_known(row, m);
}

/* poll.rb sends the stock keys in the same message, so it is not for us to delete them. */
static bool is_deleted(const OneWriter *w, guint i, Metric m)
{
    bool stock = metric_info[m].one_tier < w->stock_tiers && metric_info[m].one_format != ONE_FLAG;
    return w->holdings[i].metric[m] != HELD_NOT && !stock;
}

/* --- extras --- */

static bool is_key(const char *key)
{
    gsize length = strspn(key, G_CSET_A_2_Z G_CSET_DIGITS "_");
    return length > 0 && length <= ONE_KEY_MAX && key[length] == '\0';
}

static const Extra *find_extra(const GArray *extras, const char *key)
{
    for (guint k = 0; k < extras->len; k++)
        if (strcmp(g_array_index(extras, Extra, k).key, key) == 0)
            return &g_array_index(extras, Extra, k);
    return NULL;
}

static void add_extras(const OneWriter *w, GArray *extras, char *const *words, bool is_forecast)
{
    for (guint at = 0; words && at < 2 * ONE_EXTRAS_MAX && words[at]; at += 2) {
        const Extra extra = {words[at], words[at + 1], is_forecast};
        if (is_key(extra.key) && !g_hash_table_contains(w->metric_of, extra.key) && !find_extra(extras, extra.key))
            g_array_append_val(extras, extra);
    }
}

static void sort_out_extras(OneWriter *w)
{
    for (guint i = 0; i < w->now->vms->len && !w->leave; i++) {
        const VmSample *vm = g_ptr_array_index(w->now->vms, i);
        if (!vm->extras && !vm->forecasts)
            continue;
        w->extras[i] = g_array_new(FALSE, FALSE, sizeof(Extra));
        add_extras(w, w->extras[i], vm->extras, false);
        add_extras(w, w->extras[i], vm->forecasts, true);
    }
}

static guint count_extras(const OneWriter *w, guint i)
{
    return w->extras[i] ? w->extras[i]->len : 0;
}

static const Extra *extra_at(const OneWriter *w, guint i, guint k)
{
    return &g_array_index(w->extras[i], Extra, k);
}

static bool is_sent_extra(const OneWriter *w, const Extra *extra, guint tier)
{
    return extra && MIN(tier, w->detail) >= ONE_EXTRAS_TIER && (!extra->is_forecast || tier > w->detail);
}

static void append_extras(OneWriter *w, guint i, guint tier)
{
    for (guint k = 0; k < count_extras(w, i); k++) {
        const Extra *extra = extra_at(w, i, k);
        if (!is_sent_extra(w, extra, tier))
            continue;
        g_autofree char *escaped = one_value_escape(extra->value);
        g_string_append_printf(w->lines, "%s=\"%s\"\n", extra->key, escaped);
    }
}

/* Of a key that is no metric's. */
static bool is_deleted_extra(const OneWriter *w, guint i, guint tier, const char *key)
{
    const bool stock = w->stock_tiers >= STOCK_FORECAST && forecast_key_horizon(key) != FORECAST_NONE;
    return !stock && !(w->extras[i] && is_sent_extra(w, find_extra(w->extras[i], key), tier));
}

static void append_deletion(GString *lines, const char *key)
{
    g_string_append(lines, key);
    g_string_append(lines, "=[]\n");
}

static void write_lines(OneWriter *w, guint i, guint tier)
{
    const MetricRow *row = ((const VmSample *)g_ptr_array_index(w->now->vms, i))->row;
    const GArray *retired = w->holdings[i].retired;
    g_string_truncate(w->lines, 0);
    for (guint k = 0; k < w->n_keys; k++) {
        Metric m = w->keys[k];
        if (is_sent(w, row, m, tier)) {
            g_string_append(w->lines, metric_info[m].one_key);
            g_string_append(w->lines, "=\"");
            append_value(w->lines, row, m);
            g_string_append(w->lines, "\"\n");
        } else if (is_deleted(w, i, m)) {
            append_deletion(w->lines, metric_info[m].one_key);
        }
    }
    append_extras(w, i, tier);
    for (guint k = 0; retired && k < retired->len; k++) {
        const char *key = g_array_index(retired, RetiredKey, k).key;
        if (is_deleted_extra(w, i, tier, key))
            append_deletion(w->lines, key);
    }
}

void one_writer_append(OneWriter *w, guint i, guint tier, GString *out)
{
    const VmSample *vm = g_ptr_array_index(w->now->vms, i);
    write_lines(w, i, tier);
    if (w->lines->len == 0)
        return;
    g_autofree char *monitor = g_base64_encode((const guchar *)w->lines->str, w->lines->len);
    g_string_append(out, "VM = [ ID=\"");
    text_append_u64(out, vm->vm_id);
    g_string_append(out, "\", DEPLOY_ID=\"");
    g_string_append(out, vm->uuid ? vm->uuid : "");
    g_string_append(out, "\", MONITOR=\"");
    g_string_append(out, monitor);
    g_string_append(out, "\" ]\n");
}

static void append_held(GString *out, const char *key, guint8 held)
{
    if (held == HELD_NOT)
        return;
    if (out->len > 0)
        g_string_append_c(out, ' ');
    g_string_append(out, key);
    if (held != HELD_LIVE)
        g_string_append_printf(out, "-%u", held);
}

char *one_writer_sent_keys(const OneWriter *w, guint i, guint tier)
{
    const MetricRow *row = ((const VmSample *)g_ptr_array_index(w->now->vms, i))->row;
    const GArray *retired = w->holdings[i].retired;
    GString *out = g_string_new(NULL);
    for (guint k = 0; k < w->n_keys; k++) {
        Metric m = w->keys[k];
        if (is_sent(w, row, m, tier))
            append_held(out, metric_info[m].one_key, HELD_LIVE);
        else if (is_deleted(w, i, m))
            append_held(out, metric_info[m].one_key, held_after_deletion(w->holdings[i].metric[m]));
    }
    for (guint k = 0; k < count_extras(w, i); k++)
        if (is_sent_extra(w, extra_at(w, i, k), tier))
            append_held(out, extra_at(w, i, k)->key, HELD_LIVE);
    for (guint k = 0; retired && k < retired->len; k++) {
        const RetiredKey *key = &g_array_index(retired, RetiredKey, k);
        if (is_deleted_extra(w, i, tier, key->key))
            append_held(out, key->key, held_after_deletion(key->held));
    }
    return g_string_free(out, out->len == 0);
}

char *one_writer_sent_keys_before(const OneWriter *w, guint i)
{
    return g_strdup(w->holdings[i].text);
}

guint one_writer_top_tier(const OneWriter *w)
{
    for (guint i = 0; i < w->now->vms->len; i++) /* forecasts are behind the others */
        if (count_extras(w, i) > 0 && extra_at(w, i, count_extras(w, i) - 1)->is_forecast &&
            w->detail >= ONE_EXTRAS_TIER)
            return w->detail + 1;
    return w->detail;
}

guint one_writer_count_keys(const OneWriter *w, guint i, guint tier)
{
    const MetricRow *row = ((const VmSample *)g_ptr_array_index(w->now->vms, i))->row;
    guint n = 0;
    for (guint k = 0; k < w->n_keys; k++)
        n += is_sent(w, row, w->keys[k], tier);
    for (guint k = 0; k < count_extras(w, i); k++)
        n += is_sent_extra(w, extra_at(w, i, k), tier);
    return n;
}

/* --- life --- */

static void sort_keys(OneWriter *w)
{
    for (guint tier = 0; tier <= ONE_TIER_MAX; tier++)
        for (Metric m = 0; m < N_METRICS; m++)
            if (metric_info[m].scope == SCOPE_VM && metric_info[m].one_key && metric_info[m].one_tier == tier)
                w->keys[w->n_keys++] = m;
    w->metric_of = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint k = 0; k < w->n_keys; k++)
        g_hash_table_insert(w->metric_of, (gpointer)(guintptr)metric_info[w->keys[k]].one_key,
                            GUINT_TO_POINTER(w->keys[k]));
}

OneWriter *one_writer_new(const Sample *now, const Sample *previous, const OneOptions *options)
{
    OneWriter *w = g_new0(OneWriter, 1);
    w->now = now;
    w->stock_tiers = options->stock_tiers;
    w->detail = MIN(options->detail, ONE_TIER_MAX);
    w->leave = options->leave;
    w->holdings = g_new0(Holdings, now->vms->len);
    w->lines = g_string_new(NULL);
    sort_keys(w);
    w->extras = g_new0(GArray *, now->vms->len);
    read_holdings(w, previous);
    sort_out_extras(w);
    return w;
}

void one_writer_free(OneWriter *w)
{
    if (!w)
        return;
    for (guint i = 0; i < w->now->vms->len; i++) {
        if (w->holdings[i].retired)
            g_array_unref(w->holdings[i].retired);
        if (w->extras[i])
            g_array_unref(w->extras[i]);
    }
    g_free(w->holdings);
    g_free(w->extras);
    g_hash_table_unref(w->metric_of);
    g_string_free(w->lines, TRUE);
    g_free(w);
}
