/* SPDX-License-Identifier: Apache-2.0
 * encode_lines SECONDS FILE...   reads collections and encodes the last as line protocol for so many seconds of CPU;
 * prints "lines_per_second bytes_per_line gzip_ratio_of_time", the last being the time that encoding takes for the time
 * that compressing the same text takes (a peer that any machine has). */
#include "deliver/spool.h"
#include "encode/line_protocol.h"
#include "gather/recording.h"
#include "model/rates.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static guint64 count_lines(const char *text)
{
    guint64 lines = 0;
    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) samples = argc > 2 ? recording_replay(argv + 2, &error) : NULL;
    if (!samples) {
        fprintf(stderr, "encode_lines: %s\n", error ? error->message : "usage: encode_lines SECONDS FILE...");
        return 2;
    }
    const Sample *sample = g_ptr_array_index(samples, samples->len - 1);
    double limit = g_ascii_strtod(argv[1], NULL), encoding = 0, compressing = 0;
    guint64 lines = 0, bytes = 0;
    while (encoding < limit) {
        double begin = cpu_seconds();
        GString *text = line_protocol_write(sample, SERIES_ALL);
        double encoded = cpu_seconds();
        gsize length;
        g_free(spool_compress(text->str, text->len, &length));
        compressing += cpu_seconds() - encoded;
        encoding += encoded - begin;
        lines += count_lines(text->str);
        bytes += text->len;
        g_string_free(text, TRUE);
    }
    printf("%.0f %.1f %.3f\n", (double)lines / encoding, (double)bytes / (double)lines, encoding / compressing);
    return 0;
}
