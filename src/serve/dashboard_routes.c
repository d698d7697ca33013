/* SPDX-License-Identifier: Apache-2.0
 * The dashboard: a page and its files. They hold no data, so everybody may have them; what the page shows it asks of
 * the API, with the user's token. */
#include "serve/assets.h"
#include "serve/gzip.h"
#include "serve/routes.h"

#include <string.h>

#define PAGE "index.html"
/* Nothing but our own files, no script or style within the page, no text that becomes markup. */
#define POLICY                                                                                                         \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "   \
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

/* What is sent of a file, made once. */
typedef struct {
    GBytes *body, *packed;
    char *etag;
} Prepared;

static Prepared *prepare(void)
{
    Prepared *all = g_new(Prepared, n_assets);
    for (guint i = 0; i < n_assets; i++) {
        g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA1, assets[i].data, assets[i].length);
        all[i].body = g_bytes_new_static(assets[i].data, assets[i].length);
        all[i].packed = gzip_pack(all[i].body).bytes;
        all[i].etag = g_strdup_printf("\"%s\"", sum);
    }
    return all;
}

static Reply *reply_file(guint i)
{
    static gsize prepared; /* of Prepared *: for as long as the program runs */
    if (g_once_init_enter(&prepared))
        g_once_init_leave(&prepared, (gsize)prepare());
    const Prepared *file = (const Prepared *)prepared + i;
    Reply *reply = reply_new(200, assets[i].type, g_bytes_ref(file->body));
    reply->packed = file->packed ? g_bytes_ref(file->packed) : NULL;
    reply->etag = g_strdup(file->etag);
    reply->cacheable = true;
    return reply;
}

/* NULL: there is none of that name. */
static Reply *reply_named(const char *name)
{
    for (guint i = 0; i < n_assets; i++)
        if (strcmp(assets[i].name, name) == 0)
            return reply_file(i);
    return NULL;
}

Reply *route_dashboard(Service *service, const Request *request)
{
    (void)service;
    (void)request;
    Reply *reply = reply_named(PAGE);
    if (!reply)
        return reply_error(500, "the dashboard's page was not built in");
    reply->policy = POLICY;
    return reply;
}

/* The page is not among them: what it refers to it would not find from there. */
Reply *route_dashboard_file(Service *service, const Request *request)
{
    (void)service;
    Reply *reply = strcmp(request->id, PAGE) == 0 ? NULL : reply_named(request->id);
    return reply ? reply : reply_error(404, "the dashboard has no file \"%.80s\"; its page is /", request->id);
}
