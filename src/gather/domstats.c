/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/domstats.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

G_DEFINE_QUARK(one_telemetry_domstats, domstats_error)

#define HEADER "# one-telemetry domstats 1 "
#define END "# end "
#define GROUP_TIME "domain.boottime-" /* and the group's name */
#define IDLE "idle"                   /* of a disk: MetricRow.idle_ns */

/* --- keys --- */

static const struct {
    const char *prefix;
    gsize length;
    Scope scope;
} indexed[] = {{"vcpu.", 5, SCOPE_VCPU}, {"net.", 4, SCOPE_NIC}, {"block.", 6, SCOPE_DISK}};

/* "net.0.rx.bytes" → SCOPE_NIC, 0, "rx.bytes"; "vcpu.current" → SCOPE_VM, 0, "vcpu.current". */
static Scope split_key(const char *key, guint *ret_index, const char **ret_rest)
{
    for (guint i = 0; i < G_N_ELEMENTS(indexed); i++) {
        if (key[0] != indexed[i].prefix[0] || strncmp(key, indexed[i].prefix, indexed[i].length) != 0)
            continue;
        const char *digits = key + indexed[i].length, *at = digits;
        guint index = 0;
        for (; g_ascii_isdigit(*at) && at - digits < 6; at++)
            index = index * 10 + (guint)(*at - '0');
        if (at == digits || *at != '.')
            break;
        *ret_index = index;
        *ret_rest = at + 1;
        return indexed[i].scope;
    }
    *ret_index = 0;
    *ret_rest = key;
    return SCOPE_VM;
}

static const char *scope_prefix(Scope scope)
{
    for (guint i = 0; i < G_N_ELEMENTS(indexed); i++)
        if (indexed[i].scope == scope)
            return indexed[i].prefix;
    return "";
}

/* The row and metric a key stands for; NULL where it is none of ours. The row of a device is made on the first key that
 * is ours, so that unknown keys leave no empty rows. */
static MetricRow *resolve(VmSample *vm, const char *key, Metric *ret_metric)
{
    guint index;
    const char *rest;
    Scope scope = split_key(key, &index, &rest);
    Metric m = metric_by_key(scope, rest);
    if (m == N_METRICS)
        return NULL;
    *ret_metric = m;
    return scope == SCOPE_VM ? vm->row : vm_sample_row(vm, scope, index);
}

void domstats_set_u64(VmSample *vm, const char *key, guint64 value)
{
    Metric m;
    MetricRow *row = resolve(vm, key, &m);
    if (row && metric_info[m].kind <= KIND_GAUGE)
        row_set_u64(row, m, value);
}

void domstats_set_text(VmSample *vm, const char *key, const char *value)
{
    Metric m;
    MetricRow *row = resolve(vm, key, &m);
    if (row && metric_info[m].kind == KIND_TEXT)
        row_set_text(row, m, value);
}

/* --- text values: escaped in files with a header, raw in virsh's --- */

static const char *printable_beyond_ascii(void)
{
    static char bytes[130]; /* what g_strescape shall leave alone: UTF-8, and the quote */
    static gsize ready;
    if (g_once_init_enter(&ready)) {
        for (int i = 0; i < 128; i++)
            bytes[i] = (char)(128 + i);
        bytes[128] = '"';
        g_once_init_leave(&ready, 1);
    }
    return bytes;
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((guchar)*text < 0x20 || *text == 0x7f || *text == '\\')
            return false;
    return true;
}

static void append_text(GString *out, const char *text)
{
    if (is_plain(text)) { /* nearly always */
        g_string_append(out, text);
        return;
    }
    g_autofree char *escaped = g_strescape(text, printable_beyond_ascii());
    g_string_append(out, escaped);
}

/* NULL where it ends in half an escape, so is no text of append_text. */
static char *unescape(const char *text)
{
    gsize length = strlen(text), backslashes = 0;
    while (backslashes < length && text[length - 1 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 ? NULL : g_strcompress(text);
}

/* --- reading --- */

typedef struct {
    GPtrArray *samples;
    Sample *sample; /* the one being read; owned by samples */
    VmSample *vm;   /* the one being read, owned by sample; NULL in a domain that is not ours */
    GHashTable *names;
    bool has_header, ended;
    guint64 domains; /* in this collection, all of them counted */
    guint line;
} Reader;

static bool G_GNUC_PRINTF(4, 5)
    refuse(const Reader *reader, GError **error, DomstatsErrorCode code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *valid = g_utf8_make_valid(message, -1); /* also where a character was cut in the middle */
    g_autofree char *printable = g_strescape(valid, printable_beyond_ascii());
    g_set_error(error, DOMSTATS_ERROR, (gint)code, "line %u: %s", reader->line, printable);
    return false;
}

static void begin_sample(Reader *reader, bool has_header)
{
    reader->sample = sample_new();
    g_ptr_array_add(reader->samples, reader->sample);
    reader->vm = NULL;
    reader->has_header = has_header;
    reader->ended = false;
    reader->domains = 0;
    g_hash_table_remove_all(reader->names);
}

static bool finished_before(Reader *reader, GError **error)
{
    if (reader->sample && reader->has_header && !reader->ended)
        return refuse(reader, error, DOMSTATS_ERROR_TRUNCATED,
                      "the collection before has no \"# end\" line: it was cut off");
    return true;
}

static bool read_time(const char *text, gint64 *ret_time)
{
    guint64 value;
    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &value, NULL))
        return false;
    *ret_time = (gint64)value;
    return true;
}

static bool read_small(const char *text, guint largest, guint *ret_number)
{
    guint64 value;
    if (!g_ascii_string_to_unsigned(text, 10, 0, largest, &value, NULL))
        return false;
    *ret_number = (guint)value;
    return true;
}

/* false: not the number that this word needs. Words of a newer version are passed over. */
static bool read_header_word(Sample *sample, const char *word, const char *value)
{
    if (strcmp(word, "realtime") == 0)
        return read_time(value, &sample->realtime_ns);
    if (strcmp(word, "boottime") == 0)
        return read_time(value, &sample->boottime_ns);
    if (strcmp(word, "cycle") == 0)
        return g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT64, &sample->cycle, NULL);
    if (strcmp(word, "tier") == 0)
        return read_small(value, ONE_TIER_MAX, &sample->sent_tier);
    if (strcmp(word, "spool") == 0)
        return read_small(value, G_MAXUINT, &sample->spool_trouble);
    if (strcmp(word, "boot") == 0) {
        g_free(sample->boot_id);
        sample->boot_id = g_strdup(value);
    }
    return true;
}

static bool read_header(Reader *reader, char *fields, GError **error)
{
    if (!finished_before(reader, error))
        return false;
    begin_sample(reader, true);
    Sample *sample = reader->sample;
    for (char *word = fields, *next; word; word = next) {
        if (g_str_has_prefix(word, "host=")) { /* the last field: a name may hold spaces */
            sample->host = unescape(word + strlen("host="));
            return sample->host || refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "%.80s: ends in half an escape", word);
        }
        next = strchr(word, ' ');
        if (next)
            *next++ = '\0';
        char *value = strchr(word, '=');
        if (value)
            *value++ = '\0';
        if (*word && (!value || !read_header_word(sample, word, value)))
            return refuse(
                reader, error, DOMSTATS_ERROR_SYNTAX,
                "\"%.60s\" in the header: expected realtime=, boottime=, cycle=, tier= or spool= with a whole number",
                word);
    }
    return true;
}

static bool read_end(Reader *reader, const char *count, GError **error)
{
    guint64 domains;
    if (!reader->sample || !reader->has_header || reader->ended)
        return refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "\"# end\" without a header before it");
    if (!g_ascii_string_to_unsigned(count, 10, 0, DOMSTATS_VMS_MAX, &domains, NULL) || domains != reader->domains)
        return refuse(reader, error, DOMSTATS_ERROR_TRUNCATED,
                      "\"# end %.20s\" after %" G_GUINT64_FORMAT " domains: some are missing", count, reader->domains);
    reader->ended = true;
    reader->vm = NULL;
    return true;
}

static bool read_domain(Reader *reader, char *rest, GError **error)
{
    gsize length = strlen(rest);
    if (length < 1 || rest[length - 1] != '\'')
        return refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "expected Domain: 'NAME', the closing quote is missing");
    rest[length - 1] = '\0';
    if (!reader->sample || reader->ended)
        begin_sample(reader, false);
    reader->domains++;
    reader->vm = NULL;
    guint64 id;
    if (!vm_id_from_name(rest, &id))
        return true;
    if (reader->sample->vms->len >= DOMSTATS_VMS_MAX)
        return refuse(reader, error, DOMSTATS_ERROR_LIMIT, "more than %d VMs in one collection", DOMSTATS_VMS_MAX);
    if (g_hash_table_contains(reader->names, rest))
        return refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "%s a second time in one collection", rest);
    reader->vm = vm_sample_new(rest);
    g_ptr_array_add(reader->sample->vms, reader->vm);
    g_hash_table_add(reader->names, reader->vm->name);
    return true;
}

/* Groups of a newer version are passed over. */
static bool set_group_time(VmSample *vm, const char *name, const char *text)
{
    for (Group group = GROUP_STATE; group < N_GROUPS; group++)
        if (strcmp(group_name(group), name) == 0)
            return read_time(text, &vm->group_ns[group]);
    return true;
}

/* What is not a metric; unknown keys are passed over. false: not the number that it needs. */
static bool set_identity(VmSample *vm, const char *key, const char *text)
{
    const struct {
        const char *key;
        char **field;
    } texts[] = {
        {"domain.uuid", &vm->uuid},           {"domain.xml-devices", &vm->xml_devices},
        {"domain.sent-keys", &vm->sent_keys}, {"domain.shape", &vm->shape},
        {"domain.mark", &vm->mark},           {"domain.process", &vm->process},
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        if (strcmp(key, texts[i].key) == 0) {
            g_free(*texts[i].field);
            *texts[i].field = g_strdup(text);
            return true;
        }
    guint index;
    const char *rest;
    if (split_key(key, &index, &rest) == SCOPE_DISK && strcmp(rest, IDLE) == 0) {
        MetricRow *row = vm_sample_row(vm, SCOPE_DISK, index);
        return !row || read_time(text, &row->idle_ns);
    }
    if (g_str_has_prefix(key, GROUP_TIME)) {
        return set_group_time(vm, key + strlen(GROUP_TIME), text);
    } else if (strcmp(key, "domain.id") == 0) {
        return read_time(text, &vm->domain_id);
    } else if (strcmp(key, "domain.boottime") == 0) {
        return read_time(text, &vm->boottime_ns);
    } else if (strcmp(key, "domain.ran") == 0) {
        vm->ran = strcmp(text, "1") == 0;
    }
    return true;
}

/* libvirt writes flags as yes/no or as numbers, depending on its version. */
static bool read_number(const char *text, Unit unit, guint64 *ret_value)
{
    if (unit == UNIT_BOOL && (strcmp(text, "yes") == 0 || strcmp(text, "no") == 0)) {
        *ret_value = text[0] == 'y';
        return true;
    }
    return text_read_u64(text, ret_value);
}

static bool read_value(Reader *reader, const char *key, const char *raw, GError **error)
{
    bool escaped = reader->has_header && strchr(raw, '\\');
    g_autofree char *unescaped = escaped ? unescape(raw) : NULL;
    const char *text = escaped ? unescaped : raw;
    if (!text)
        return refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "%.60s=%.80s: ends in half an escape", key, raw);

    Metric m;
    guint64 number;
    MetricRow *row = resolve(reader->vm, key, &m);
    if (!row)
        return set_identity(reader->vm, key, text) ||
               refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "%s=%.80s: expected a whole number", key, raw);
    if (metric_info[m].kind == KIND_TEXT)
        row_set_text(row, m, text);
    else if (read_number(text, metric_info[m].unit, &number))
        row_set_u64(row, m, number);
    else
        return refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "%s=%.80s: expected a whole number from 0 to 2^64-1", key,
                      raw);
    return true;
}

static bool read_line(Reader *reader, char *line, GError **error)
{
    if (line[0] == '#') {
        if (g_str_has_prefix(line, HEADER))
            return read_header(reader, line + strlen(HEADER), error);
        return !g_str_has_prefix(line, END) || read_end(reader, line + strlen(END), error);
    }
    char *key = line;
    while (*key == ' ' || *key == '\t')
        key++;
    if (*key == '\0')
        return true;
    if (key == line && g_str_has_prefix(line, "Domain: '"))
        return read_domain(reader, line + strlen("Domain: '"), error);

    char *value = strchr(key, '=');
    if (!reader->sample || !reader->domains || reader->ended || key == line || !value || value == key)
        return refuse(reader, error, DOMSTATS_ERROR_SYNTAX,
                      "expected Domain: 'NAME' or an indented key=value, found \"%.60s\"", line);
    if (!reader->vm)
        return true;
    *value++ = '\0';
    return read_value(reader, key, value, error);
}

static bool read_all(Reader *reader, char *text, gsize length, GError **error)
{
    const char *nul = memchr(text, '\0', length);
    for (char *line = text, *end = text + length; line < end;) {
        char *newline = memchr(line, '\n', (gsize)(end - line));
        char *next = newline ? newline + 1 : end;
        reader->line++;
        if (newline)
            *newline = '\0';
        if (nul && nul < next)
            return refuse(reader, error, DOMSTATS_ERROR_SYNTAX, "a NUL byte: this is no text");
        if (!read_line(reader, line, error))
            return false;
        line = next;
    }
    reader->line++;
    if (!reader->sample)
        return refuse(reader, error, DOMSTATS_ERROR_TRUNCATED, "the file holds no domain and no header");
    if (reader->has_header && !reader->ended)
        return refuse(reader, error, DOMSTATS_ERROR_TRUNCATED,
                      "the file ends without its \"# end\" line: it was cut off");
    return true;
}

GPtrArray *domstats_read_up(char *text, gsize length, GError **error)
{
    g_autoptr(GPtrArray) samples = g_ptr_array_new_with_free_func((GDestroyNotify)sample_free);
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    Reader reader = {.samples = samples, .names = names};
    if (length > DOMSTATS_FILE_MAX) {
        g_set_error(error, DOMSTATS_ERROR, DOMSTATS_ERROR_LIMIT, "line 1: more than %d bytes", DOMSTATS_FILE_MAX);
        return NULL;
    }
    return read_all(&reader, text, length, error) ? g_steal_pointer(&samples) : NULL;
}

GPtrArray *domstats_read(const char *text, gsize length, GError **error)
{
    g_autofree char *copy = g_malloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return domstats_read_up(copy, length, error);
}

/* --- writing --- */

/* The lines of a row, of which there are a hundred a VM: each is put together here and appended as one. */
typedef struct {
    char text[160]; /* as far as the key: ours are short */
    gsize start;    /* length of "  net.0." */
} Line;

static void line_begin(Line *line, const MetricRow *row)
{
    char index[TEXT_U64_MAX + 2] = "";
    if (row->scope != SCOPE_VM)
        g_snprintf(index, sizeof index, "%u.", row->index);
    g_strlcpy(line->text, "  ", sizeof line->text);
    g_strlcat(line->text, scope_prefix(row->scope), sizeof line->text);
    line->start = g_strlcat(line->text, index, sizeof line->text);
}

/* "  net.0.name="; its length. */
static gsize line_key(Line *line, const char *key)
{
    const gsize length = strlen(key);
    g_assert(line->start + length + 1 + TEXT_U64_MAX + 1 <= sizeof line->text);
    memcpy(line->text + line->start, key, length);
    line->text[line->start + length] = '=';
    return line->start + length + 1;
}

static void write_number_line(GString *out, Line *line, const char *key, guint64 value)
{
    char digits[TEXT_U64_MAX];
    guint n;
    const char *text = text_of_u64(value, digits, &n);
    const gsize length = line_key(line, key);
    memcpy(line->text + length, text, n);
    line->text[length + n] = '\n';
    g_string_append_len(out, line->text, (gssize)(length + n + 1));
}

static void write_text_line(GString *out, Line *line, const char *key, const char *text)
{
    g_string_append_len(out, line->text, (gssize)line_key(line, key));
    append_text(out, text);
    g_string_append_c(out, '\n');
}

static void write_row(GString *out, const MetricRow *row)
{
    Line line;
    line_begin(&line, row);
    if (row->idle_ns != 0)
        write_number_line(out, &line, IDLE, (guint64)row->idle_ns);
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        const MetricInfo *info = &metric_info[m];
        if ((info->origin != ORIGIN_KEY && info->origin != ORIGIN_OWN) || !row_has(row, m))
            continue;
        if (info->kind == KIND_TEXT)
            write_text_line(out, &line, info->key, row_text(row, m));
        else
            write_number_line(out, &line, info->key, row_u64(row, m));
    }
}

static void begin_value(GString *out, const char *key)
{
    g_string_append(out, "  ");
    g_string_append(out, key);
    g_string_append_c(out, '=');
}

static void write_text(GString *out, const char *key, const char *text)
{
    if (!text)
        return;
    begin_value(out, key);
    append_text(out, text);
    g_string_append_c(out, '\n');
}

static void write_number(GString *out, const char *key, gint64 number)
{
    if (number < 0)
        return;
    begin_value(out, key);
    text_append_u64(out, (guint64)number);
    g_string_append_c(out, '\n');
}

static void write_vm(GString *out, const VmSample *vm)
{
    g_string_append(out, "Domain: '");
    g_string_append(out, vm->name);
    g_string_append(out, "'\n");
    write_text(out, "domain.uuid", vm->uuid);
    write_number(out, "domain.id", vm->domain_id);
    write_number(out, "domain.boottime", vm->boottime_ns);
    for (Group group = GROUP_STATE; group < N_GROUPS; group++)
        if (vm->group_ns[group] != 0) {
            g_string_append(out, "  " GROUP_TIME);
            g_string_append(out, group_name(group));
            g_string_append_c(out, '=');
            text_append_u64(out, (guint64)vm->group_ns[group]);
            g_string_append_c(out, '\n');
        }
    write_number(out, "domain.ran", vm->ran);
    write_text(out, "domain.shape", vm->shape);
    write_text(out, "domain.mark", vm->mark);
    write_text(out, "domain.process", vm->process);
    write_text(out, "domain.xml-devices", vm->xml_devices);
    write_text(out, "domain.sent-keys", vm->sent_keys);
    write_row(out, vm->row);
    const Scope scopes[] = {SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK};
    for (guint s = 0; s < G_N_ELEMENTS(scopes); s++) {
        const GPtrArray *rows = vm_sample_rows(vm, scopes[s]);
        for (guint i = 0; i < rows->len; i++)
            write_row(out, g_ptr_array_index(rows, i));
    }
}

void domstats_write(const Sample *sample, GString *out)
{
    g_string_append_printf(out, HEADER "realtime=%" G_GINT64_FORMAT " boottime=%" G_GINT64_FORMAT, sample->realtime_ns,
                           sample->boottime_ns);
    g_string_append_printf(out, " cycle=%" G_GUINT64_FORMAT " tier=%u", sample->cycle, sample->sent_tier);
    if (sample->spool_trouble != 0)
        g_string_append_printf(out, " spool=%u", sample->spool_trouble);
    if (sample->boot_id)
        g_string_append_printf(out, " boot=%s", sample->boot_id);
    if (sample->host) {
        g_string_append(out, " host=");
        append_text(out, sample->host);
    }
    g_string_append_c(out, '\n');
    for (guint i = 0; i < sample->vms->len; i++)
        write_vm(out, g_ptr_array_index(sample->vms, i));
    g_string_append_printf(out, END "%u\n", sample->vms->len);
}
