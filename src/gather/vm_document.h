/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's document of a VM, <VM>, as its state hooks and onevm show -x give it: what of it is an event, what is
 * told of the VM, and when that was. Pure. */
#pragma once

#include "gather/xml.h"
#include "model/event.h"
#include "model/sample.h"

/* Bytes of XML, and of what may be base64; more is refused. A larger number than the third is no state. */
#define VM_DOCUMENT_MAX (16 * 1024 * 1024)
#define VM_DOCUMENT_INPUT_MAX (VM_DOCUMENT_MAX / 3 * 4 + 65536)
#define VM_DOCUMENT_STATE_MAX 9999

#define VM_DOCUMENT_ERROR vm_document_error_quark()
GQuark vm_document_error_quark(void);
typedef enum {
    VM_DOCUMENT_ERROR_EMPTY,     /* nothing came */
    VM_DOCUMENT_ERROR_ENCODING,  /* neither base64 nor XML */
    VM_DOCUMENT_ERROR_TOO_LARGE, /* above VM_DOCUMENT_MAX */
    VM_DOCUMENT_ERROR_XML,       /* not well-formed, or with a DOCTYPE */
    VM_DOCUMENT_ERROR_NO_VM,     /* another document: of an API hook, of another resource */
    VM_DOCUMENT_ERROR_VALUE,     /* no ID, no state, or one that can't be */
} VmDocumentErrorCode;

/* Seconds since 1970 of the VM's last history record, and of the VM; 0: not (yet). */
typedef struct {
    gint64 stime, pstime, rstime, retime, estime, eetime,
        etime;       /* begin, prolog, running, end of running, epilog, end */
    gint64 vm_etime; /* of the VM */
} VmStamps;

typedef struct {
    VmEvent *event; /* with words for states where they have one; its time is 0 */
    VmSample *vm;   /* one-<ID>, its UUID, and what vm_info has of it; a text that the document has not is "" where it
                       could have been taken away since: template, vCPUs, lock, labels */
    guint state, lcm_state;
    gint previous_lcm_state; /* -1 unknown */
    VmStamps stamps;
} VmDocument;

/* The bytes of the XML: `input` itself where it begins with <, else from base64, with blanks and newlines anywhere.
 * Control characters that XML can't hold, and bytes that are no UTF-8, are replaced. Owned by the caller. */
char *vm_document_decode(const char *input, gsize length, gsize *ret_length, GError **error);

/* The message says what is wrong, and where a person can do something, what. */
VmDocument *vm_document_read(const char *xml, gsize length, GError **error);
void vm_document_free(VmDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmDocument, vm_document_free)

/* When the event was, in seconds since 1970, by the document's own stamps, so that the same event is of the same time
 * whenever it is told: the end that led to STOPPED, SUSPENDED, POWEROFF, UNDEPLOYED or DONE, the begin of PROLOG, or of
 * running where the VM was started or moved. 0: the document has no stamp of it (UNKNOWN, HOTPLUG, a failure …), or one
 * that can't be: later than `now_s` by more than VM_DOCUMENT_AHEAD_S. */
#define VM_DOCUMENT_AHEAD_S 300
gint64 vm_document_time(const VmDocument *document, gint64 now_s);

/* The latest of the stamps, in seconds since 1970, of two documents of a VM the later one has no earlier one; 0: none.
 */
gint64 vm_document_latest(const VmDocument *document);

/* Whether this program has a word for both of its states. */
bool vm_document_knows_states(const VmDocument *document);
