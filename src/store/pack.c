/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pack.h"

#include <math.h>
#include <string.h>

#define PACK_VERSION 1
#define TAGS_PER_BYTE 4
#define LOWER_HALF 0xFFFFu
#define VARINT_BYTES_MAX 5

enum { TAG_ABSENT, TAG_ZERO, TAG_ONE, TAG_OTHER };

/* --- numbers of metrics --- */

void pack_map_init(PackMap *map)
{
    map->n = 0;
    memset(map->number, PACK_NO_NUMBER, sizeof map->number);
}

bool pack_map_add(PackMap *map, Metric m)
{
    if (map->n >= PACK_NUMBERS_MAX)
        return false;
    if (m < N_METRICS)
        map->number[m] = (guint8)map->n;
    map->metric[map->n++] = m;
    return true;
}

void pack_row_from_metrics(PackRow *row, const PackMap *map, const MetricRow *metrics)
{
    row->n = map->n;
    for (guint i = 0; i < map->n; i++) {
        Metric m = map->metric[i];
        bool there = m < N_METRICS && row_has(metrics, m);
        double value = 0;
        if (there)
            value = metric_info[m].kind == KIND_REAL ? row_real(metrics, m) : (double)row_u64(metrics, m);
        row->figure[i] = (PackFigure){value, value, value, there};
    }
}

/* --- writing --- */

static guint32 bits_of(float value)
{
    guint32 bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* What is beyond a float becomes the largest there is: the blob holds finite numbers alone. */
static guint32 float_bits(double value)
{
    return bits_of((float)CLAMP(value, -(double)G_MAXFLOAT, (double)G_MAXFLOAT));
}

static void put_bytes(guint8 **at, guint32 bits, guint n)
{
    for (guint i = 0; i < n; i++)
        *(*at)++ = (guint8)(bits >> (8 * i));
}

static void put_varint(guint8 **at, guint32 value)
{
    for (; value >= 0x80; value >>= 7)
        put_bytes(at, (value & 0x7F) | 0x80, 1);
    put_bytes(at, value, 1);
}

static guint tag_of(const PackFigure *figure, bool bucket)
{
    if (figure->count == 0)
        return TAG_ABSENT;
    guint32 mean = float_bits(figure->mean);
    if (bucket && (float_bits(figure->min) != mean || float_bits(figure->max) != mean))
        return TAG_OTHER;
    if (figure->mean == 0)
        return TAG_ZERO;
    return !bucket && (mean & LOWER_HALF) == 0 ? TAG_OTHER : TAG_ONE;
}

static void put_value(guint8 **at, const PackFigure *figure, guint tag, bool bucket)
{
    if (tag == TAG_ONE) {
        put_bytes(at, float_bits(figure->mean), 4);
    } else if (tag == TAG_OTHER && !bucket) {
        put_bytes(at, float_bits(figure->mean) >> 16, 2);
    } else if (tag == TAG_OTHER) {
        put_bytes(at, float_bits(figure->min), 4);
        put_bytes(at, float_bits(figure->mean), 4);
        put_bytes(at, float_bits(figure->max), 4);
    }
}

/* Numbers up to the last that is there, and the most samples of any; *ret_same: all have so many. */
static guint survey(const PackRow *row, guint32 *ret_count, bool *ret_same)
{
    guint used = 0;
    guint32 most = 0, least = G_MAXUINT32;
    for (guint i = 0; i < row->n; i++) {
        if (row->figure[i].count == 0)
            continue;
        used = i + 1;
        most = MAX(most, row->figure[i].count);
        least = MIN(least, row->figure[i].count);
    }
    *ret_count = most;
    *ret_same = used == 0 || least == most;
    return used;
}

static gsize write_row(guint8 *out, const PackRow *row, bool bucket)
{
    guint32 count;
    bool same;
    guint8 tags[PACK_NUMBERS_MAX / TAGS_PER_BYTE] = {0}, *at = out;
    const guint used = survey(row, &count, &same);
    const guint n_tags = (used + TAGS_PER_BYTE - 1) / TAGS_PER_BYTE;
    const PackKind kind = !bucket ? PACK_SAMPLE : same ? PACK_BUCKET : PACK_COUNTED;
    for (guint i = 0; i < used; i++)
        tags[i / TAGS_PER_BYTE] |= (guint8)(tag_of(&row->figure[i], bucket) << (2 * (i % TAGS_PER_BYTE)));

    put_bytes(&at, PACK_VERSION << 4 | kind, 1);
    put_bytes(&at, n_tags, 1);
    if (bucket)
        put_varint(&at, count);
    memcpy(at, tags, n_tags);
    at += n_tags;
    for (guint i = 0; i < used; i++) {
        put_value(&at, &row->figure[i], tag_of(&row->figure[i], bucket), bucket);
        if (kind == PACK_COUNTED && row->figure[i].count)
            put_varint(&at, row->figure[i].count);
    }
    return (gsize)(at - out);
}

gsize pack_write_sample(guint8 *out, const PackRow *row)
{
    return write_row(out, row, false);
}

gsize pack_write_bucket(guint8 *out, const PackRow *row)
{
    return write_row(out, row, true);
}

/* --- reading --- */

typedef struct {
    const guint8 *at, *end;
    bool failed; /* it ended too early, or a number is none */
} Reader;

static guint32 take_bits(Reader *reader, guint n)
{
    guint32 bits = 0;
    if ((gsize)(reader->end - reader->at) < n) {
        reader->failed = true;
        return 0;
    }
    for (guint i = 0; i < n; i++)
        bits |= (guint32)reader->at[i] << (8 * i);
    reader->at += n;
    return bits;
}

static double take_float(Reader *reader, guint bytes)
{
    guint32 bits = take_bits(reader, bytes) << (8 * (4 - bytes));
    float value;
    memcpy(&value, &bits, sizeof value);
    reader->failed |= !isfinite(value);
    return (double)value;
}

static guint32 take_varint(Reader *reader)
{
    guint64 value = 0;
    for (guint i = 0; i < VARINT_BYTES_MAX; i++) {
        guint32 byte = take_bits(reader, 1);
        value |= (guint64)(byte & 0x7F) << (7 * i);
        if (!(byte & 0x80)) {
            reader->failed |= value > G_MAXUINT32;
            return (guint32)value;
        }
    }
    reader->failed = true;
    return 0;
}

static void take_figure(Reader *reader, guint tag, PackKind kind, guint32 count, PackFigure *ret_figure)
{
    PackFigure figure = {.count = count};
    if (tag == TAG_OTHER && kind != PACK_SAMPLE) {
        figure.min = take_float(reader, 4);
        figure.mean = take_float(reader, 4);
        figure.max = take_float(reader, 4);
    } else if (tag != TAG_ZERO) {
        figure.min = figure.mean = figure.max = take_float(reader, tag == TAG_ONE ? 4 : 2);
    }
    if (kind == PACK_COUNTED)
        figure.count = take_varint(reader);
    reader->failed |= figure.count == 0 || !(figure.min <= figure.mean && figure.mean <= figure.max);
    *ret_figure = figure;
}

bool pack_read(const guint8 *data, gsize length, PackRow *ret_row)
{
    Reader reader = {.at = data, .end = data + length};
    const guint32 head = take_bits(&reader, 1), n_tags = take_bits(&reader, 1);
    const PackKind kind = (PackKind)(head & 0xF);
    if (reader.failed || head >> 4 != PACK_VERSION || kind < PACK_SAMPLE || kind > PACK_COUNTED ||
        n_tags > PACK_NUMBERS_MAX / TAGS_PER_BYTE)
        return false;
    const guint32 count = kind == PACK_SAMPLE ? 1 : take_varint(&reader);
    const guint8 *tags = reader.at;
    if ((gsize)(reader.end - reader.at) < n_tags)
        return false;
    reader.at += n_tags;

    ret_row->n = n_tags * TAGS_PER_BYTE;
    for (guint i = 0; i < ret_row->n && !reader.failed; i++) {
        guint tag = tags[i / TAGS_PER_BYTE] >> (2 * (i % TAGS_PER_BYTE)) & 3;
        if (tag == TAG_ABSENT)
            ret_row->figure[i].count = 0;
        else
            take_figure(&reader, tag, kind, count, &ret_row->figure[i]);
    }
    return !reader.failed && reader.at == reader.end;
}
