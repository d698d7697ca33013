/* SPDX-License-Identifier: Apache-2.0
 * Whether a certificate and key are any good, before a server is started or started anew with them. */
#include "serve/server_internal.h"

/* libmicrohttpd says no more than that TLS can't be had. */
static void on_log(void *data, const char *format, va_list arguments)
{
    (void)data;
    (void)format;
    (void)arguments;
}

bool server_check_tls(const char *cert, const char *key, GError **error)
{
    /* It has neither a socket nor a thread, so nothing is ever asked of it. */
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_TLS | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL, server_on_request,
                         NULL, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_HTTPS_MEM_CERT, cert,
                         MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_PRIORITIES, PRIORITIES, MHD_OPTION_END);
    if (daemon) {
        MHD_stop_daemon(daemon);
        return true;
    }
    g_set_error_literal(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                        "expected a certificate in PEM format and the key that belongs to it");
    return false;
}
