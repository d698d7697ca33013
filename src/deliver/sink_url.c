/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/sink_url.h"

#include <arpa/inet.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define HOST_MAX 253 /* bytes of a name in DNS */
#define HOST_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_."
/* RFC 3986: what a path may hold, but for %, which two digits follow */
#define PATH_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._~!$&'()*+,;=:@/"

/* Behind the scheme, or NULL. */
static const char *skip_scheme(const char *url)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (guint i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_str_has_prefix(url, schemes[i]))
            return url + strlen(schemes[i]);
    return NULL;
}

/* "[::1]" at `text`: its length, else 0. */
static gsize ipv6_length(const char *text)
{
    char address[INET6_ADDRSTRLEN] = "";
    struct in6_addr parsed;
    gsize length = strcspn(text, "]");
    if (text[length] != ']' || length - 1 >= sizeof address)
        return 0;
    memcpy(address, text + 1, length - 1);
    return inet_pton(AF_INET6, address, &parsed) == 1 ? length + 1 : 0;
}

static gsize name_length(const char *text)
{
    gsize length = strspn(text, HOST_CHARACTERS);
    return length <= HOST_MAX && strchr(".-", text[0]) == NULL ? length : 0;
}

static bool is_port(const char *text, gsize length)
{
    g_autofree char *digits = g_strndup(text, length);
    return g_ascii_isdigit(digits[0]) /* strtoull would skip blanks */ &&
           g_ascii_string_to_unsigned(digits, 10, 1, 65535, NULL, NULL);
}

static bool is_path(const char *text)
{
    for (text += strspn(text, PATH_CHARACTERS); *text; text += strspn(text, PATH_CHARACTERS)) {
        if (text[0] != '%' || !g_ascii_isxdigit(text[1]) || !g_ascii_isxdigit(text[2]))
            return false;
        text += 3;
    }
    return true;
}

static const char *check(const char *url)
{
    const char *host = skip_scheme(url);
    if (!host)
        return "expected http:// or https:// in front, as in http://HOST:PORT";
    if (strlen(url) > SINK_URL_MAX)
        return "expected at most " G_STRINGIFY(SINK_URL_MAX) " bytes";
    if (strpbrk(url, "?#"))
        return "expected no ? and no #; parameters have options of their own";
    gsize authority = strcspn(host, "/");
    if (memchr(host, '@', authority))
        return "expected no user and no password in it; a sink's have options of their own, user and password_file";
    gsize length = host[0] == '[' ? ipv6_length(host) : name_length(host);
    if (length == 0 || (length < authority && host[length] != ':'))
        return "expected a host's name or address behind ://, an IPv6 address as [ADDRESS]";
    if (length < authority && !is_port(host + length + 1, authority - length - 1))
        return "expected a port from 1 to 65535 behind the host's colon";
    if (!is_path(host + authority))
        return "expected a path of letters, digits and /-._~ (others as %XX) behind host and port";
    return NULL;
}

const char *sink_url_trim(char *url)
{
    const char *problem = check(url);
    if (problem)
        return problem;
    gsize length = strlen(url);
    while (url[length - 1] == '/')
        url[--length] = '\0';
    return NULL;
}
