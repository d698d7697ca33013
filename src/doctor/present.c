/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/present.h"
#include "base/text.h"
#include "encode/json_writer.h"

#include <string.h>

#define VERDICT_WIDTH 8
#define NAME_WIDTH 12
#define NAME_PLACE_WIDTH 22 /* "telemetryd, front-end" */
#define PLAIN "\033[0m"

static const char *colour_of(Verdict verdict)
{
    static const char *const colours[N_VERDICTS] = {"\033[32m", "\033[2m", "\033[33m", "\033[1;31m"};
    return colours[verdict];
}

/* A command is marked as one, so that words are not taken for it. */
static void append_mend(GString *out, const char *mend, int indent)
{
    g_auto(GStrv) lines = g_strsplit(mend, "\n", -1);
    for (char **line = lines; *line; line++)
        if (**line)
            g_string_append_printf(out, "%*s%s%s\n", indent, "", **line == '#' ? "" : "$ ", *line);
}

void present_text(GString *out, const CheckResult *result, const PresentOptions *options)
{
    bool both = (options->places & PLACE_FRONT_END) && (options->places & PLACE_HOST);
    const int width = both ? NAME_PLACE_WIDTH : NAME_WIDTH;
    g_autofree char *name = both ? g_strdup_printf("%s, %s", result->check->name, place_name(result->place))
                                 : g_strdup(result->check->name);
    for (guint i = 0; i < result->findings->len; i++) {
        const Finding *finding = g_ptr_array_index(result->findings, i);
        if (options->quiet && finding->verdict == VERDICT_OK)
            continue;
        g_string_append_printf(out, "%s%-*s%s %-*s %s\n", options->colour ? colour_of(finding->verdict) : "",
                               VERDICT_WIDTH, verdict_word(finding->verdict), options->colour ? PLAIN : "", width, name,
                               finding->text);
        if (finding->mend)
            append_mend(out, finding->mend, VERDICT_WIDTH + width + 2);
    }
}

char *present_sum(const DoctorSum *sum)
{
    g_autofree char *warnings = text_count(sum->count[VERDICT_WARNING], "warning", "warnings");
    g_autofree char *errors = text_count(sum->count[VERDICT_ERROR], "error", "errors");
    guint skipped = sum->count[VERDICT_NOT_CHECKED];
    g_autofree char *rest = skipped ? g_strdup_printf(", %u not checked", skipped) : g_strdup("");
    return g_strdup_printf("%u ok, %s, %s%s", sum->count[VERDICT_OK], warnings, errors, rest);
}

static void append_finding(JsonWriter *json, const CheckResult *result, const Finding *finding)
{
    json_next_element(json);
    json_begin(json, '{');
    json_text_member(json, "check", result->check->name);
    json_text_member(json, "place", place_name(result->place));
    json_text_member(json, "status", verdict_word(finding->verdict));
    json_text_member(json, "text", finding->text);
    json_text_or_null_member(json, "mend", finding->mend);
    json_end(json, '}');
}

char *present_json(const GPtrArray *results, const PresentOptions *options, const char *machine, gint64 now_ns)
{
    DoctorSum sum = {0};
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "version", ONE_TELEMETRY_VERSION);
    json_text_member(&json, "machine", machine);
    json_bool_member(&json, "front_end", options->places & PLACE_FRONT_END);
    json_bool_member(&json, "host", options->places & PLACE_HOST);
    json_time_member(&json, "time", now_ns);
    json_next_member(&json, "findings");
    json_begin(&json, '[');
    for (guint i = 0; i < results->len; i++) {
        const CheckResult *result = g_ptr_array_index(results, i);
        doctor_count(&sum, result);
        for (guint n = 0; n < result->findings->len; n++) {
            const Finding *finding = g_ptr_array_index(result->findings, n);
            if (!options->quiet || finding->verdict != VERDICT_OK)
                append_finding(&json, result, finding);
        }
    }
    json_end(&json, ']');
    json_u64_member(&json, "ok", sum.count[VERDICT_OK]);
    json_u64_member(&json, "warnings", sum.count[VERDICT_WARNING]);
    json_u64_member(&json, "errors", sum.count[VERDICT_ERROR]);
    json_u64_member(&json, "skipped", sum.count[VERDICT_NOT_CHECKED]);
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    return g_string_free(json.out, FALSE);
}
