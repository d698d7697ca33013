/* SPDX-License-Identifier: Apache-2.0
 * Any text as a sink's URL. What is taken, libcurl understands in the same way: that scheme, a host, no user, no query,
 * no fragment. */
#include "deliver/sink_url.h"

#include <curl/curl.h>
#include <glib.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_absent(CURLU *parsed, CURLUPart part, CURLUcode code)
{
    char *text = NULL;
    g_assert_cmpint(curl_url_get(parsed, part, &text, 0), ==, code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *url = g_strndup((const char *)data, size), *written = g_strdup(url);
    if (sink_url_trim(url)) {
        g_assert_cmpstr(url, ==, written);
        return 0;
    }
    g_assert_true(g_str_has_prefix(written, url));
    g_assert_cmpuint(strspn(written + strlen(url), "/"), ==, strlen(written) - strlen(url));
    g_autofree char *again = g_strdup(url);
    g_assert_null(sink_url_trim(again));
    g_assert_cmpstr(again, ==, url);

    CURLU *parsed = curl_url();
    char *scheme = NULL, *host = NULL;
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK)
        g_error("libcurl does not take %s", url);
    g_assert_cmpint(curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0), ==, CURLUE_OK);
    g_assert_cmpint(curl_url_get(parsed, CURLUPART_HOST, &host, 0), ==, CURLUE_OK);
    g_assert_true(g_str_has_prefix(url + strlen(scheme), "://"));
    g_assert_true(*host);
    assert_absent(parsed, CURLUPART_USER, CURLUE_NO_USER);
    assert_absent(parsed, CURLUPART_QUERY, CURLUE_NO_QUERY);
    assert_absent(parsed, CURLUPART_FRAGMENT, CURLUE_NO_FRAGMENT);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parsed);
    return 0;
}
