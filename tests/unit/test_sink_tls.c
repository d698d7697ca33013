/* SPDX-License-Identifier: Apache-2.0
 * Sinks with TLS, against servers of the openssl command. */
#include "test_sink.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER "HTTP/1.1 204 No Content\r\n\r\n"

/* Files of one authority: NAME.pem, NAME.key. */
static void run_openssl(const char *dir, const char *arguments)
{
    g_autofree char *command = g_strdup_printf("openssl %s", arguments), *said = NULL;
    g_auto(GStrv) words = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;
    assert_true(g_shell_parse_argv(command, NULL, &words, NULL));
    if (!g_spawn_sync(dir, words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &said, &status, &error))
        fail_msg("%s", error->message);
    CHECK(status == 0, "%s: %s", command, said);
}

#define NEW_KEY "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

static void make_authority(const char *dir, const char *name)
{
    g_autofree char *arguments =
        g_strdup_printf("req -x509 " NEW_KEY " -keyout %s.key -out %s.pem -subj '/CN=authority %s' -days 2 "
                        "-addext keyUsage=critical,keyCertSign",
                        name, name, name);
    run_openssl(dir, arguments);
}

static void make_certificate(const char *dir, const char *authority, const char *name, const char *extension)
{
    g_autofree char *file = g_strdup_printf("%s/%s.ext", dir, name);
    g_autofree char *request =
        g_strdup_printf("req -new " NEW_KEY " -keyout %s.key -out %s.csr -subj /CN=%s", name, name, name);
    g_autofree char *issue =
        g_strdup_printf("x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -out %s.pem "
                        "-days 2 -extfile %s.ext",
                        name, authority, authority, name, name);
    assert_true(g_file_set_contents(file, extension, -1, NULL));
    run_openssl(dir, request);
    run_openssl(dir, issue);
}

/* --- a server --- */

typedef struct {
    GPid pid;
    int in, out;
    char *url; /* https://127.0.0.1:PORT */
} TlsServer;

/* Owned by the caller; NULL: the end. */
static GString *read_line(int fd)
{
    GString *line = g_string_new(NULL);
    char byte;
    while (read(fd, &byte, 1) == 1) {
        if (byte == '\n')
            return line;
        g_string_append_c(line, byte);
    }
    g_string_free(line, TRUE);
    return NULL;
}

/* From "ACCEPT 127.0.0.1:PORT"; 0: it did not say so. */
static int read_port(int fd)
{
    int port = 0;
    for (GString *line; port == 0 && (line = read_line(fd));) {
        const char *colon = strrchr(line->str, ':');
        if (g_str_has_prefix(line->str, "ACCEPT ") && colon)
            port = (int)g_ascii_strtoull(colon + 1, NULL, 10);
        g_string_free(line, TRUE);
    }
    return port;
}

/* In the child: a test that fails does not leave its server behind. */
static void end_with_parent(void *unused)
{
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

static TlsServer start_server(const char *dir, const char *options)
{
    g_autofree char *command = g_strdup_printf("openssl s_server -accept 127.0.0.1:0 %s", options);
    g_auto(GStrv) words = NULL;
    g_autoptr(GError) error = NULL;
    TlsServer server = {0};
    assert_true(g_shell_parse_argv(command, NULL, &words, NULL));
    if (!g_spawn_async_with_pipes(dir, words, NULL,
                                  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL,
                                  end_with_parent, NULL, &server.pid, &server.in, &server.out, NULL, &error))
        fail_msg("%s", error->message);
    int port = read_port(server.out);
    CHECK(port > 0, "no server: %s", command);
    server.url = g_strdup_printf("https://127.0.0.1:%d", port);
    assert_int_equal(write(server.in, ANSWER, strlen(ANSWER)), strlen(ANSWER));
    return server;
}

static void end_server(TlsServer *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    close(server->in);
    close(server->out);
    g_free(server->url);
}

/* --- tests --- */

static int setup(void **state)
{
    char *dir = make_temporary_dir();
    make_authority(dir, "ours");
    make_authority(dir, "other");
    make_certificate(dir, "ours", "server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
    make_certificate(dir, "ours", "elsewhere", "subjectAltName=DNS:elsewhere.invalid\nextendedKeyUsage=serverAuth\n");
    make_certificate(dir, "ours", "client", "extendedKeyUsage=clientAuth\n");
    make_certificate(dir, "other", "stranger", "extendedKeyUsage=clientAuth\n");
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    remove_tree(*state);
    g_free(*state);
    return 0;
}

#define SERVER_CERT "-cert server.pem -key server.key"
#define WANTS_CLIENT " -Verify 1 -verify_return_error -CAfile ours.pem"

typedef struct {
    const char *label;
    const char *server; /* options of openssl s_server */
    const char *ca, *client;
    bool verify;
    Transport transport;
    const char *problem; /* what it begins with */
} Row;

static const Row rows[] = {
    {"trusted", SERVER_CERT, "ours.pem", NULL, true, TRANSPORT_DONE, NULL},
    {"only TLS 1.2", SERVER_CERT " -tls1_2", "ours.pem", NULL, true, TRANSPORT_DONE, NULL},
    {"another authority", SERVER_CERT, "other.pem", NULL, true, TRANSPORT_TLS, "no trust in the certificate of "},
    {"the system's authorities", SERVER_CERT, NULL, NULL, true, TRANSPORT_TLS, "no trust in the certificate of "},
    {"not verified", SERVER_CERT, NULL, NULL, false, TRANSPORT_DONE, NULL},
    {"another name", "-cert elsewhere.pem -key elsewhere.key", "ours.pem", NULL, true, TRANSPORT_TLS,
     "no trust in the certificate of "},
    {"another name, not verified", "-cert elsewhere.pem -key elsewhere.key", "ours.pem", NULL, false, TRANSPORT_DONE,
     NULL},
    {"no such authority", SERVER_CERT, "missing.pem", NULL, true, TRANSPORT_TLS, "no ca_file to check "},
    {"a client's certificate", SERVER_CERT WANTS_CLIENT, "ours.pem", "client", true, TRANSPORT_DONE, NULL},
    {"no client's certificate", SERVER_CERT WANTS_CLIENT, "ours.pem", NULL, true, TRANSPORT_TLS, "no TLS with "},
    {"no client's certificate, TLS 1.2", SERVER_CERT WANTS_CLIENT " -tls1_2", "ours.pem", NULL, true, TRANSPORT_TLS,
     "no TLS with "},
    {"a stranger's certificate", SERVER_CERT WANTS_CLIENT, "ours.pem", "stranger", true, TRANSPORT_TLS, "no TLS with "},
    {"a certificate that is none", SERVER_CERT, "ours.pem", "server.ext", true, TRANSPORT_TLS,
     "no use of our certificate for "},
};

static char *file_in(const char *dir, const char *name, const char *suffix)
{
    g_autofree char *file = g_strconcat(name ? name : "", suffix, NULL);
    return name ? g_build_filename(dir, file, NULL) : g_strdup("");
}

static void check_row(const char *dir, const Row *row)
{
    TlsServer server = start_server(dir, row->server);
    bool is_odd = row->client && strchr(row->client, '.'); /* the name of a file that is no certificate */
    g_autofree char *ca = file_in(dir, row->ca, ""), *cert = file_in(dir, row->client, is_odd ? "" : ".pem"),
                    *key = file_in(dir, is_odd ? "client" : row->client, ".key");
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, server.url);
    settings.ca_file = ca;
    settings.cert_file = cert;
    settings.key_file = key;
    settings.verify = row->verify;
    g_autoptr(SinkReply) reply = ask_once(&settings);
    CHECK(reply->transport == row->transport, "%s: %d %s", row->label, (int)reply->transport, reply->problem);
    CHECK(row->transport != TRANSPORT_DONE || reply->status == 204, "%s: %ld", row->label, reply->status);
    CHECK(!row->problem || g_str_has_prefix(reply->problem, row->problem), "%s: %s", row->label, reply->problem);
    end_server(&server);
}

static void test_certificates(void **state)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        check_row(*state, &rows[i]);
}

/* A server without TLS, and one that goes down in the middle of a handshake. */
static void test_no_handshake(void **state)
{
    (void)state;
    static const struct {
        Canned answer;
        Transport transport;
        const char *problem;
    } servers[] = {
        {{"HTTP/1.1 400 Bad Request\r\n\r\n", 0, THEN_CLOSE, true}, TRANSPORT_TLS, "no TLS with "},
        {{NULL, 0, THEN_CLOSE, true}, TRANSPORT_UNREACHABLE, "no TLS yet with "},
        {{NULL, 0, THEN_RESET, true}, TRANSPORT_UNREACHABLE, "no TLS yet with "},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(servers); i++) {
        g_autoptr(CannedServer) server = canned_server_new(&servers[i].answer, 1);
        g_autofree char *url = g_strdup_printf("https%s", canned_server_url(server) + strlen("http"));
        const SinkSettings settings = plain_settings(SINK_INFLUXDB1, url);
        g_autoptr(SinkReply) reply = ask_once(&settings);
        CHECK(reply->transport == servers[i].transport, "%zu: %d %s", i, (int)reply->transport, reply->problem);
        CHECK(g_str_has_prefix(reply->problem, servers[i].problem), "%zu: %s", i, reply->problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_no_handshake),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
