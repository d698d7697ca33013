/* SPDX-License-Identifier: Apache-2.0
 * A VM's figures as one small blob: which metrics are there, and of each one value (a sample) or min, mean and max (of
 * a bucket of samples). Values are kept as float. Pure; the reader takes any bytes.
 *
 *   byte 0    PACK_VERSION * 16 + kind
 *   byte 1    number of tag bytes
 *   varint    samples in it (buckets only)
 *   tags      two bits for each metric number, the lowest bits first: absent, 0, one float, or else
 *             (of a sample) a float whose lower half is 0, which is left out; (of a bucket) min, mean and max
 *   values    in the order of the numbers, little-endian; in kind PACK_COUNTED a varint follows each present metric's:
 *             its own count of samples
 *
 * A metric is known by a number, which the file gives to its name once and for all (PackMap). */
#pragma once

#include "model/sample.h"

#define PACK_NUMBERS_MAX 128 /* metrics that a file can know */
/* Longest blob: every metric of a bucket with three floats and a count of its own. */
#define PACK_BYTES_MAX (2 + 5 + PACK_NUMBERS_MAX / 4 + PACK_NUMBERS_MAX * (3 * 4 + 5))

typedef struct {
    double min, mean, max;
    guint32 count; /* samples in it; 0: absent, and the rest says nothing */
} PackFigure;

/* By metric number. */
typedef struct {
    guint n; /* numbers in use: those from here on are absent */
    PackFigure figure[PACK_NUMBERS_MAX];
} PackRow;

/* Which number is which metric. */
typedef struct {
    guint n;
    guint8 number[N_METRICS];        /* PACK_NO_NUMBER: has none */
    Metric metric[PACK_NUMBERS_MAX]; /* N_METRICS: of another version, unknown to this one */
} PackMap;
#define PACK_NO_NUMBER 255

void pack_map_init(PackMap *map);
/* Gives number `map->n` to the metric (N_METRICS: a name unknown here). false: there is no number left. */
bool pack_map_add(PackMap *map, Metric m);

/* What the row has of the map's metrics: of reals and gauges the value. */
void pack_row_from_metrics(PackRow *row, const PackMap *map, const MetricRow *metrics);

typedef enum { PACK_SAMPLE = 1, PACK_BUCKET, PACK_COUNTED } PackKind;

/* Write the blob into `out`, which has room for PACK_BYTES_MAX. A sample's figures are their means. Its length. */
gsize pack_write_sample(guint8 *out, const PackRow *row);
gsize pack_write_bucket(guint8 *out, const PackRow *row);

/* false: these bytes are no blob, or of a later version; *ret_row is then as it may be. */
bool pack_read(const guint8 *data, gsize length, PackRow *ret_row);
