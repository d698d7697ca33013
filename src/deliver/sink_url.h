/* SPDX-License-Identifier: Apache-2.0
 * URLs of servers as an operator writes them: http:// or https://, a host, maybe a port and a path. Pure. */
#pragma once

#define SINK_URL_MAX 2000 /* bytes; what servers and proxies take */

/* Takes the slashes off the end. NULL: it is well-formed; else what was expected and how to mend it. A user, a query
 * and a fragment are refused. */
const char *sink_url_trim(char *url);
