/* SPDX-License-Identifier: Apache-2.0
 * Tells systemd, or whoever set NOTIFY_SOCKET, how we do: the protocol of sd_notify(3). */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* "READY=1", "STOPPING=1", "STATUS=…", several between newlines. false: nobody wants to know, or it can't be told. */
bool notify_send(const char *text);

/* "RELOADING=1" with the time that systemd wants along. */
bool notify_reloading(void);

/* Within how long WATCHDOG=1 has to follow WATCHDOG=1; 0: nobody watches this process. */
gint64 notify_watchdog_ms(void);
