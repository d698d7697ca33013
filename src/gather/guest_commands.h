/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's etc/im/kvm-probes.d/guestagent.conf: which commands the guests' QEMU agents are to be asked, and under
 * which key of the VM's record each answer goes to OpenNebula.
 *
 *   :enabled: true
 *   :commands:
 *     :vm_qemu_ping: "one-$vm_id '{\"execute\":\"guest-ping\"}' --timeout 5"
 *     :linux:
 *       :kernel: one-$vm_id '{"execute":"guest-get-osinfo"}' | jq '{return: .return."kernel-release"}'
 *     :guest_info:
 *       :command: one-$vm_id '{"execute":"guest-info"}'
 *       :os_ids: ['ubuntu', 'debian']
 *
 * A command is what stands behind "virsh qemu-agent-command": the domain, JSON, options. Behind a | stands what a shell
 * makes of the answer. Below :linux: and :windows: are those for guests of that kind alone. One that is written with
 * filters is for guests alone that have, of each, one of the values. Pure but for the reading. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum { GUEST_OS_UNKNOWN, GUEST_OS_LINUX, GUEST_OS_WINDOWS, N_GUEST_OS } GuestOs;

/* What is known of every guest's system, and is in its record. */
typedef enum { GUEST_TYPE, GUEST_ID, GUEST_VERSION, GUEST_MACHINE, N_GUEST_ATTRIBUTES } GuestAttribute;
extern const char *const guest_attribute_keys[N_GUEST_ATTRIBUTES]; /* of the record: "OS_TYPE", … */
bool guest_key_is_attribute(const char *key);
#define GUEST_ADDRESSES_KEY "GUEST_IP_ADDRESSES" /* likewise of the record */

typedef struct {
    char *key;                       /* of the record: letters, digits, _; none of those above */
    GuestOs os;                      /* GUEST_OS_UNKNOWN: of any */
    char **only[N_GUEST_ATTRIBUTES]; /* what the guest's may be, never empty; NULL: anything, or none */
    char *command;                   /* JSON, with $vm_id where it was written; see guest_command_for */
    char *filter;                    /* for /bin/sh -c, likewise; NULL: none */
} GuestCommand;

typedef struct {
    bool enabled;
    GPtrArray *commands; /* of GuestCommand, in the file's order */
    GPtrArray *problems; /* of char*: commands that are left out, and why */
} GuestCommands;

#define GUEST_COMMANDS_MAX 48

/* NULL: the file as a whole can't be read; the message begins with its line. */
GuestCommands *guest_commands_parse(const char *text, gsize length, GError **error);
void guest_commands_free(GuestCommands *commands);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestCommands, guest_commands_free)

/* `text` (a command or filter) with the VM's number for $vm_id. Owned by the caller. */
char *guest_command_for(const char *text, guint64 vm_id);

/* The file in the tree that the probe at this path is installed in. NULL and no error: there is none. */
GuestCommands *guest_commands_read(const char *program, GError **error);
