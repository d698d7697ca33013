/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/sink.h"
#include "base/log.h"
#include "deliver/sink_reply.h"
#include "deliver/sink_request.h"
#include "deliver/sink_secret.h"
#include "deliver/via.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

#define CURL_DISABLE_DEPRECATION /* of CURLOPT_PROTOCOLS: what follows it is younger than the libcurl 7.61 of hosts */
#include <curl/curl.h>

#define WAIT_MAX_MS 1000 /* of one look at the sockets */
#define PROBLEM_MAX 400  /* bytes of libcurl's text */
#define STATUS_TOO_LARGE 413
#define HTTP_PORT 80
#define PROXY_PORT 1080 /* libcurl's default */

G_DEFINE_QUARK(one_telemetry_sink_error, sink_error)

struct SinkPool {
    CURLM *multi;
    guint replies;        /* that have come and were not taken */
    GPtrArray *resolving; /* of Sink: a request begins when its host is found */
    ResolverLookup lookup;
};

struct Sink {
    SinkPool *pool;
    const SinkSettings *settings;
    CURL *easy; /* kept over requests */
    char *url;
    char *secret, *basic;                      /* as we send them; NULL: none */
    struct curl_slist *headers, *gzip_headers; /* for plain and for gzip'd bodies */
    char *via;                                 /* among the headers; NULL: none */
    struct curl_slist *query_headers;          /* for questions; NULL: none was asked */
    Resolver *resolver;      /* of the host that we connect to, a proxy's maybe; NULL: its address is in the settings */
    gint64 resolve_until_us; /* while in the pool's `resolving` */
    struct curl_slist *entries;       /* its addresses, as libcurl was given them */
    char curl_error[CURL_ERROR_SIZE]; /* of the last transfer; libcurl empties it */
    bool under_way;
    SinkIncoming incoming; /* while under way */
    SinkReply *reply;      /* come and not taken */
};

/* --- what became of a transfer --- */

typedef struct {
    CURLcode code;
    Transport transport;
    const char *problem; /* the server's, or proxy's, address follows */
    bool by_proxy;
} Outcome;

/* As numbers: until libcurl 7.61 a certificate of another name had one of its own, whose name is now that of 60. */
#define OTHER_NAME ((CURLcode)51)
#define UNTRUSTED ((CURLcode)60)

static const Outcome outcomes[] = {
    {CURLE_COULDNT_RESOLVE_HOST, TRANSPORT_UNREACHABLE, "cannot find the host of", false},
    {CURLE_COULDNT_RESOLVE_PROXY, TRANSPORT_UNREACHABLE, "cannot find the host of proxy", true},
    {CURLE_COULDNT_CONNECT, TRANSPORT_UNREACHABLE, "cannot connect to", false},
    {CURLE_URL_MALFORMAT, TRANSPORT_UNREACHABLE, "this is no address:", false},
    {CURLE_OPERATION_TIMEDOUT, TRANSPORT_TIMEOUT, "no answer in time from", false},
    {CURLE_UNSUPPORTED_PROTOCOL, TRANSPORT_CUT, "no HTTP from", false},
    {CURLE_SSL_CONNECT_ERROR, TRANSPORT_TLS, "no TLS with", false},
    {CURLE_SSL_CIPHER, TRANSPORT_TLS, "no TLS with", false},
    {CURLE_SSL_ENGINE_NOTFOUND, TRANSPORT_TLS, "no TLS with", false},
    {CURLE_SSL_ENGINE_SETFAILED, TRANSPORT_TLS, "no TLS with", false},
    {UNTRUSTED, TRANSPORT_TLS, "no trust in the certificate of", false},
    {OTHER_NAME, TRANSPORT_TLS, "no trust in the certificate of", false},
    {CURLE_SSL_ISSUER_ERROR, TRANSPORT_TLS, "no trust in the certificate of", false},
    {CURLE_SSL_CACERT_BADFILE, TRANSPORT_TLS, "no ca_file to check", false},
    {CURLE_SSL_CERTPROBLEM, TRANSPORT_TLS, "no use of our certificate for", false},
};

/* After a TLS 1.3 handshake that we take for done, the server may still say that it does not want our certificate. */
static const Outcome tls_alert = {CURLE_OK, TRANSPORT_TLS, "no TLS with", false};

/* Whatever else happens may have happened after the data was stored. */
static const Outcome cut = {CURLE_OK, TRANSPORT_CUT, "no whole answer from", false};

/* A server that goes down, or comes up, in the middle of a handshake: no person need look at its certificates. */
static const Outcome handshake_cut = {CURLE_OK, TRANSPORT_UNREACHABLE, "no TLS yet with", false};

/* libcurl has but one code for all troubles of a handshake; these are OpenSSL's words, old and new. */
static bool is_handshake_cut(CURLcode code, const char *text)
{
    return code == CURLE_SSL_CONNECT_ERROR &&
           (strstr(text, "SSL_ERROR_SYSCALL") || strstr(text, "Connection reset") || strstr(text, "unexpected eof"));
}

static const Outcome *outcome_of(const Sink *sink, CURLcode code)
{
    if ((code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) && strstr(sink->curl_error, " alert "))
        return &tls_alert;
    if (is_handshake_cut(code, sink->curl_error))
        return &handshake_cut;
    for (guint i = 0; i < G_N_ELEMENTS(outcomes); i++)
        if (outcomes[i].code == code)
            return &outcomes[i];
    return &cut;
}

/* What libcurl has to say of it, or of a connection the system. Owned by the caller. */
static char *detail_of(const Sink *sink, CURLcode code)
{
    long number = 0;
    const char *text = *sink->curl_error ? sink->curl_error : curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT && curl_easy_getinfo(sink->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK &&
        number > 0)
        text = g_strerror((int)number);
    return log_quote(text, strlen(text), PROBLEM_MAX);
}

static void set_problem(const Sink *sink, SinkReply *reply, const Outcome *outcome, const char *detail)
{
    const SinkSettings *settings = sink->settings;
    g_autofree char *place = sink_url_place(outcome->by_proxy ? settings->proxy : settings->url);
    reply->transport = outcome->transport;
    reply->problem = g_strdup_printf("%s %s%s: %s", outcome->problem, place,
                                     *settings->proxy && !outcome->by_proxy ? " by way of the proxy" : "", detail);
}

/* libcurl is content with answers that are none. NULL: it is one. */
static const char *defect_of(const SinkIncoming *incoming)
{
    if (!incoming->seen_status)
        return "what came is no HTTP";
    if (!incoming->seen_end)
        return "the connection ended within the headers";
    if (incoming->odd_length)
        return "status 204 with a Content-Length";
    return NULL;
}

/* Addresses may be of the past, so they are looked up again after a failure. */
static void put_reply(Sink *sink, SinkReply *reply)
{
    if (sink->resolver && reply->transport != TRANSPORT_DONE)
        resolver_forget(sink->resolver);
    sink_reply_mask(reply, sink->secret);
    sink_reply_mask(reply, sink->basic);
    sink_incoming_clear(&sink->incoming);
    sink->under_way = false;
    sink->reply = reply;
    sink->pool->replies++;
}

static void finish(Sink *sink, CURLcode code)
{
    SinkReply *reply = g_steal_pointer(&sink->incoming.reply);
    const char *defect = defect_of(&sink->incoming);
    /* Who will not read it all hangs up on us; that it is too large is all we need to know. */
    bool too_large = !defect && reply->status == STATUS_TOO_LARGE;
    if (code != CURLE_OK && !too_large) {
        g_autofree char *detail = detail_of(sink, code);
        set_problem(sink, reply, outcome_of(sink, code), detail);
    } else if (defect) {
        set_problem(sink, reply, &cut, defect);
    }
    put_reply(sink, reply);
}

static void finish_unresolved(Sink *sink, const char *problem)
{
    SinkReply *reply = g_steal_pointer(&sink->incoming.reply);
    bool by_proxy = *sink->settings->proxy;
    set_problem(sink, reply, outcome_of(sink, by_proxy ? CURLE_COULDNT_RESOLVE_PROXY : CURLE_COULDNT_RESOLVE_HOST),
                problem);
    put_reply(sink, reply);
}

/* --- making a sink --- */

static size_t on_header(char *line, size_t size, size_t n, void *sink)
{
    sink_incoming_header(&((Sink *)sink)->incoming, line, size * n);
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *sink)
{
    sink_incoming_body(&((Sink *)sink)->incoming, data, size * n);
    return size * n;
}

static bool append_text(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static bool read_secret(Sink *sink, GError **error)
{
    const SinkSettings *settings = sink->settings;
    const char *path = *settings->token_file ? settings->token_file : settings->password_file;
    if (*settings->key_file && !sink_secret_check_key(settings->key_file, error))
        return false;
    if (*path && !(sink->secret = sink_secret_read(path, error)))
        return false;
    if (*settings->token_file || *settings->user == '\0')
        return true;
    g_autofree char *pair = g_strdup_printf("%s:%s", settings->user, sink->secret ? sink->secret : "");
    sink->basic = g_base64_encode((const guchar *)pair, strlen(pair));
    explicit_bzero(pair, strlen(pair));
    return true;
}

/* false: no memory. */
static bool make_headers(Sink *sink)
{
    const char *token = *sink->settings->token_file ? sink->secret : NULL;
    char *authorization = token ? sink_token_header(sink->settings->type, token) : NULL;
    g_autofree char *via = sink->via ? g_strconcat(VIA_HEADER ": ", sink->via, NULL) : NULL;
    struct curl_slist **lists[] = {&sink->headers, &sink->gzip_headers};
    bool made = true;
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        made = made && append_text(lists[i], "Content-Type: text/plain; charset=utf-8") &&
               append_text(lists[i], "Expect:") && /* else it waits for a go-ahead */
               (!authorization || append_text(lists[i], authorization)) && (!via || append_text(lists[i], via));
    made = made && append_text(&sink->gzip_headers, "Content-Encoding: gzip");
    sink_secret_free(authorization);
    return made;
}

static const char *text_or_null(const char *text)
{
    return *text ? text : NULL;
}

static long milliseconds(gint64 ms)
{
    return (long)CLAMP(ms, 1, G_MAXINT);
}

#define SET(option, value)                                                                                             \
    if (code == CURLE_OK && (code = curl_easy_setopt(sink->easy, option, value)) != CURLE_OK)                          \
    refused = #option

static CURLcode set_tls(Sink *sink, const char **ret_refused)
{
    const SinkSettings *settings = sink->settings;
    const char *refused = NULL;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, settings->verify ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, settings->verify ? 2L : 0L);
    if (*settings->ca_file) {
        SET(CURLOPT_CAINFO, settings->ca_file);
        SET(CURLOPT_CAPATH, (char *)NULL); /* else the system's authorities would do too */
    }
    if (*settings->cert_file) {
        SET(CURLOPT_SSLCERT, settings->cert_file);
        SET(CURLOPT_SSLKEY, text_or_null(settings->key_file)); /* NULL: in the certificate's file */
    }
    *ret_refused = refused;
    return code;
}

static CURLcode set_options(Sink *sink, const char **ret_refused)
{
    const SinkSettings *settings = sink->settings;
    const char *refused = NULL;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PRIVATE, (void *)sink);
    SET(CURLOPT_ERRORBUFFER, sink->curl_error);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, sink);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, sink);
    SET(CURLOPT_NOSIGNAL, 1L);

    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    SET(CURLOPT_URL, sink->url);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* nor is what a proxy says to CONNECT an answer */
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_USERAGENT, "one-telemetry/" ONE_TELEMETRY_VERSION);
    SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(settings->connect_timeout_ms));
    SET(CURLOPT_TIMEOUT_MS, milliseconds(settings->timeout_ms));

    /* Nothing from the environment or a home directory. */
    SET(CURLOPT_PROXY, settings->proxy);
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (sink->basic) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, settings->user);
        SET(CURLOPT_PASSWORD, sink->secret ? sink->secret : "");
    }
    *ret_refused = refused;
    return code == CURLE_OK ? set_tls(sink, ret_refused) : code;
}

static bool make_easy(Sink *sink, GError **error)
{
    const char *refused = "curl_easy_init";
    CURLcode code = CURLE_OUT_OF_MEMORY;
    sink->easy = curl_easy_init();
    if (sink->easy && make_headers(sink))
        code = set_options(sink, &refused);
    if (code != CURLE_OK)
        g_set_error(error, SINK_ERROR, SINK_ERROR_SETTINGS, "libcurl refuses %s: %s", refused,
                    curl_easy_strerror(code));
    return code == CURLE_OK;
}

#undef SET

/* A proxy looks up the server's name by itself. */
static Resolver *make_resolver(const Sink *sink)
{
    guint port;
    const SinkSettings *settings = sink->settings;
    g_autofree char *host = *settings->proxy ? sink_url_host(settings->proxy, PROXY_PORT, &port)
                                             : sink_url_host(settings->url, HTTP_PORT, &port);
    return resolver_is_address(host) ? NULL : resolver_new(host, port, sink->pool->lookup);
}

Sink *sink_new(SinkPool *pool, const SinkSettings *settings, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(Sink) sink = g_new0(Sink, 1);
    sink->pool = pool;
    sink->settings = settings;
    sink->url = sink_write_url(settings);
    sink->resolver = make_resolver(sink);
    if (read_secret(sink, &reason) && make_easy(sink, &reason))
        return g_steal_pointer(&sink);
    g_propagate_prefixed_error(error, g_steal_pointer(&reason), "[sink %s] ", settings->name);
    return NULL;
}

void sink_free(Sink *sink)
{
    if (!sink)
        return;
    if (sink->under_way && !g_ptr_array_remove_fast(sink->pool->resolving, sink))
        curl_multi_remove_handle(sink->pool->multi, sink->easy);
    if (sink->reply)
        sink->pool->replies--;
    curl_easy_cleanup(sink->easy);
    curl_slist_free_all(sink->headers);
    curl_slist_free_all(sink->gzip_headers);
    curl_slist_free_all(sink->query_headers);
    curl_slist_free_all(sink->entries);
    resolver_free(sink->resolver);
    sink_incoming_clear(&sink->incoming);
    sink_reply_free(sink->reply);
    sink_secret_free(sink->secret);
    sink_secret_free(sink->basic);
    g_free(sink->url);
    g_free(sink->via);
    g_free(sink);
}

/* --- requests --- */

static void transfer(Sink *sink)
{
    if (curl_multi_add_handle(sink->pool->multi, sink->easy) != CURLM_OK)
        finish(sink, CURLE_OUT_OF_MEMORY);
}

/* libcurl then looks up nothing itself. */
static void hand_over_addresses(Sink *sink)
{
    g_auto(GStrv) texts = resolver_entries(sink->resolver);
    curl_slist_free_all(g_steal_pointer(&sink->entries));
    for (char **text = texts; *text; text++)
        append_text(&sink->entries, *text);
    curl_easy_setopt(sink->easy, CURLOPT_RESOLVE, sink->entries);
}

/* The request, as far as its host's name allows. */
static void go_on(Sink *sink, ResolverState state, gint64 now_us)
{
    if (state == RESOLVER_READY) {
        hand_over_addresses(sink);
        transfer(sink);
    } else if (state == RESOLVER_FAILED) {
        finish_unresolved(sink, resolver_problem(sink->resolver));
    } else if (now_us >= sink->resolve_until_us) {
        finish_unresolved(sink, "no name server has answered in time");
    } else {
        g_ptr_array_add(sink->pool->resolving, sink);
    }
}

/* The request whose method, URL and body are set. */
static void begin_request(Sink *sink)
{
    sink->under_way = true;
    if (!sink->resolver) {
        transfer(sink);
        return;
    }
    const gint64 now_us = g_get_monotonic_time();
    sink->resolve_until_us = now_us + milliseconds(sink->settings->connect_timeout_ms) * 1000;
    go_on(sink, resolver_begin(sink->resolver, now_us), now_us);
}

void sink_ask(Sink *sink, const char *path, const char *body)
{
    g_assert(!sink_is_busy(sink));
    sink_incoming_begin(&sink->incoming);
    sink->incoming.limit = SINK_QUERY_MAX;
    const char *token = *sink->settings->token_file ? sink->secret : NULL;
    char *authorization = token ? sink_token_header(sink->settings->type, token) : NULL;
    g_autofree char *url = g_strconcat(sink->settings->url, path, NULL);
    curl_slist_free_all(g_steal_pointer(&sink->query_headers));
    append_text(&sink->query_headers, "Accept: application/json");
    append_text(&sink->query_headers, "Expect:");
    if (body)
        append_text(&sink->query_headers, "Content-Type: application/json");
    if (authorization)
        append_text(&sink->query_headers, authorization);
    sink_secret_free(authorization);
    curl_easy_setopt(sink->easy, CURLOPT_URL, url);
    curl_easy_setopt(sink->easy, CURLOPT_HTTPHEADER, sink->query_headers);
    if (body)
        curl_easy_setopt(sink->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    if (body)
        curl_easy_setopt(sink->easy, CURLOPT_COPYPOSTFIELDS, body);
    else
        curl_easy_setopt(sink->easy, CURLOPT_HTTPGET, 1L);
    begin_request(sink);
}

void sink_set_via(Sink *sink, const char *via)
{
    g_assert(!sink_is_busy(sink));
    if (g_strcmp0(sink->via, via) == 0)
        return;
    g_free(sink->via);
    sink->via = g_strdup(via);
    curl_slist_free_all(g_steal_pointer(&sink->headers));
    curl_slist_free_all(g_steal_pointer(&sink->gzip_headers));
    if (!make_headers(sink))
        g_error("libcurl: no memory for headers");
}

void sink_send(Sink *sink, const char *data, gsize length, bool gzipped)
{
    g_assert(!sink_is_busy(sink));
    sink_incoming_begin(&sink->incoming);
    curl_easy_setopt(sink->easy, CURLOPT_HTTPHEADER, gzipped ? sink->gzip_headers : sink->headers);
    curl_easy_setopt(sink->easy, CURLOPT_POSTFIELDS, data);
    curl_easy_setopt(sink->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    begin_request(sink);
}

bool sink_is_busy(const Sink *sink)
{
    return sink->under_way || sink->reply;
}

SinkReply *sink_take_reply(Sink *sink)
{
    if (sink->reply)
        sink->pool->replies--;
    return g_steal_pointer(&sink->reply);
}

/* --- all of them --- */

SinkPool *sink_pool_new(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        g_once_init_leave(&once, 1);
    }
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN); /* TLS over a connection that is gone raises it, and CURLOPT_NOSIGNAL leaves it so */
    SinkPool *pool = g_new(SinkPool, 1);
    *pool = (SinkPool){.multi = curl_multi_init(), .resolving = g_ptr_array_new(), .lookup = resolver_system};
    if (!pool->multi)
        g_error("libcurl: no memory for a multi handle");
    return pool;
}

void sink_pool_free(SinkPool *pool)
{
    if (!pool)
        return;
    curl_multi_cleanup(pool->multi);
    g_ptr_array_unref(pool->resolving);
    g_free(pool);
}

void sink_pool_set_lookup(SinkPool *pool, ResolverLookup lookup)
{
    pool->lookup = lookup;
}

/* Begins the requests whose host was found, ends those whose host was not. */
static void resolve(SinkPool *pool)
{
    const gint64 now_us = g_get_monotonic_time();
    for (guint i = pool->resolving->len; i-- > 0;) {
        Sink *sink = g_ptr_array_remove_index(pool->resolving, i); /* comes in again at the end if it has to wait on */
        go_on(sink, resolver_check(sink->resolver, now_us), now_us);
    }
}

/* Moves on what can be moved on without waiting. */
static void perform(SinkPool *pool)
{
    int running, left;
    curl_multi_perform(pool->multi, &running);
    for (CURLMsg *message; (message = curl_multi_info_read(pool->multi, &left));) {
        void *sink = NULL;
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result; /* the message goes with its handle */
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&sink);
        curl_multi_remove_handle(pool->multi, easy);
        finish(sink, code);
    }
}

/* Closed at its other end counts as well, which curl_multi_wait would not tell. */
static bool is_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return fd >= 0 && poll(&ready, 1, 0) > 0;
}

/* libcurl's own timers end the wait too. With a descriptor, be it -1, it waits even where no transfer has a socket. */
static void wait_for_sockets(SinkPool *pool, int fd, gint64 wait_us)
{
    long timer_ms = -1;
    guint n = pool->resolving->len + 1;
    g_autofree struct curl_waitfd *others = g_new0(struct curl_waitfd, n);
    others[0] = (struct curl_waitfd){.fd = fd, .events = CURL_WAIT_POLLIN};
    for (guint i = 1; i < n; i++) {
        const Sink *sink = g_ptr_array_index(pool->resolving, i - 1);
        others[i] = (struct curl_waitfd){.fd = resolver_fd(sink->resolver), .events = CURL_WAIT_POLLIN};
        wait_us = MIN(wait_us, sink->resolve_until_us - g_get_monotonic_time());
    }
    gint64 wait_ms = CLAMP((wait_us + 999) / 1000, 0, WAIT_MAX_MS);
    curl_multi_timeout(pool->multi, &timer_ms);
    if (timer_ms != 0) /* 0: overdue; older versions would then wait on */
        curl_multi_wait(pool->multi, others, n, (int)wait_ms, NULL);
}

void sink_pool_run(SinkPool *pool, int fd, gint64 until_us)
{
    for (;;) {
        resolve(pool);
        perform(pool);
        gint64 wait_us = until_us - g_get_monotonic_time();
        if (pool->replies > 0 || wait_us <= 0 || is_readable(fd))
            return;
        wait_for_sockets(pool, fd, wait_us);
    }
}
