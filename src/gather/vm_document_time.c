/* SPDX-License-Identifier: Apache-2.0
 * When an event was, by the stamps in its document. */
#include "gather/vm_document.h"

/* As OpenNebula numbers them (model/event.c has the words). */
enum { ACTIVE = 3, STOPPED = 4, SUSPENDED = 5, DONE = 6, POWEROFF = 8, UNDEPLOYED = 9 };
enum {
    LCM_INIT = 0,
    PROLOG = 1,
    BOOT = 2,
    RUNNING = 3,
    MIGRATE = 4,
    SAVE_STOP = 5,
    SAVE_SUSPEND = 6,
    SAVE_MIGRATE = 7,
    EPILOG_STOP = 10,
    UNKNOWN = 16,
    SHUTDOWN_POWEROFF = 18,
    BOOT_POWEROFF = 20,
    BOOT_SUSPENDED = 21,
    BOOT_STOPPED = 22,
    SHUTDOWN_UNDEPLOY = 29,
    EPILOG_UNDEPLOY = 30,
    BOOT_UNDEPLOY = 32,
    BOOT_MIGRATE = 35,
    ANY = -1, /* in place of the previous one */
    END = -2, /* of a list of previous ones */
};

typedef enum { OF_PROLOG, OF_RUNNING, OF_RECORD_END, OF_VM_END } Stamp;

/* The stamp of a state, where it was come to from one of these. The other ways to it leave the stamps as they were: of
 * a VM that was powered off already, and whose disk was snapshot, the end of the running is that of before; a retry
 * after a failure, and a start from UNKNOWN, are in the record of before too. */
static const struct {
    guint state, lcm_state;
    Stamp stamp;
    gint from[10];
} rules[] = {
    {ACTIVE, PROLOG, OF_PROLOG, {LCM_INIT, END}},
    {ACTIVE,
     RUNNING,
     OF_RUNNING,
     {LCM_INIT, BOOT, MIGRATE, SAVE_MIGRATE, BOOT_POWEROFF, BOOT_SUSPENDED, BOOT_STOPPED, BOOT_UNDEPLOY, BOOT_MIGRATE,
      END}},
    {STOPPED, LCM_INIT, OF_RECORD_END, {SAVE_STOP, EPILOG_STOP, END}},
    {SUSPENDED, LCM_INIT, OF_RECORD_END, {SAVE_SUSPEND, RUNNING, UNKNOWN, END}},
    {POWEROFF, LCM_INIT, OF_RECORD_END, {SHUTDOWN_POWEROFF, RUNNING, UNKNOWN, END}},
    {UNDEPLOYED, LCM_INIT, OF_RECORD_END, {SHUTDOWN_UNDEPLOY, EPILOG_UNDEPLOY, END}},
    {DONE, LCM_INIT, OF_VM_END, {ANY, END}},
};

static bool comes_from(const gint *from, gint previous)
{
    for (; *from != END; from++)
        if (*from == ANY || *from == previous)
            return true;
    return false;
}

static gint64 value_of(const VmStamps *stamps, Stamp stamp)
{
    switch (stamp) {
    case OF_PROLOG:
        return stamps->pstime ? stamps->pstime : stamps->stime;
    case OF_RUNNING:
        return stamps->rstime;
    case OF_RECORD_END: /* a begin alone is no end */
        return MAX(MAX(stamps->retime, stamps->eetime), stamps->etime);
    default:
        return stamps->vm_etime;
    }
}

gint64 vm_document_time(const VmDocument *document, gint64 now_s)
{
    for (guint i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (rules[i].state != document->state || rules[i].lcm_state != document->lcm_state ||
            !comes_from(rules[i].from, document->previous_lcm_state))
            continue;
        const gint64 seconds = value_of(&document->stamps, rules[i].stamp);
        return seconds <= now_s + VM_DOCUMENT_AHEAD_S ? seconds : 0;
    }
    return 0;
}

gint64 vm_document_latest(const VmDocument *document)
{
    const VmStamps *stamps = &document->stamps;
    const gint64 all[] = {stamps->stime,  stamps->pstime, stamps->rstime, stamps->retime,
                          stamps->estime, stamps->eetime, stamps->etime,  stamps->vm_etime};
    gint64 latest = 0;
    for (guint i = 0; i < G_N_ELEMENTS(all); i++)
        latest = MAX(latest, all[i]);
    return latest;
}
