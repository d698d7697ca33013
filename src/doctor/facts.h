/* SPDX-License-Identifier: Apache-2.0
 * What all checks start from: where we are, as whom, which configuration is in effect here. */
#pragma once

#include "base/config.h"

#include <sys/types.h>

typedef enum {
    PLACE_FRONT_END = 1 << 0, /* OpenNebula's own machine: has the tree that is distributed, and its commands */
    PLACE_HOST = 1 << 1,      /* a hypervisor: has the tree that was distributed */
} Place;

typedef struct {
    const char *root;   /* in front of every path of the system's: "" but for tests and images */
    const char *config; /* NULL: the places' own */
    const char *user;   /* whom OpenNebula runs as */
    guint places;       /* of Place */
    uid_t called_by;    /* the effective user before a check becomes another */
    bool deep;          /* what costs seconds too */
    guint timeout_s;    /* that a check may take at most; 0: as long as its row of the table says */
} DoctorOptions;

/* A configuration file, and what is read in it. */
typedef struct {
    char *path; /* that was read, or would be */
    bool exists;
    Config *config;   /* what of it is right; else defaults */
    GError *error;    /* of the file, else of a sink */
    GPtrArray *sinks; /* of SinkSettings; NULL: there is an error */
} ConfigFile;

typedef struct {
    const DoctorOptions *options;
    Place place;       /* that is checked */
    char *tree;        /* of that place: the remotes tree on the front-end, what was made of it on a host */
    char *etc;         /* OpenNebula's configuration: /etc/one */
    ConfigFile probe;  /* the tree's own: of probes, forwarder and hooks */
    ConfigFile server; /* telemetryd's, on a front-end; on a host there is none: path is NULL */
} Facts;

/* Which of both this is, by what is there: 0: neither. */
guint facts_find_places(const char *root);
/* Of a place: its tree. A host's is the one that this program is in, else /var/tmp/one. Owned by the caller. */
char *facts_tree(const char *root, Place place);
const char *place_name(Place place); /* "front-end", "host" */

Facts *facts_new(const DoctorOptions *options, Place place);
void facts_free(Facts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Facts, facts_free)

/* The probe of one of both trees ("kvm", "qemu"), there or not. Owned by the caller. */
char *facts_probe(const Facts *facts, const char *kind);
/* A path below the place's tree. Owned by the caller. */
char *facts_in_tree(const Facts *facts, const char *path);
/* The user's command line that runs `command` (a whole one) as the user whom OpenNebula runs as. Owned by the caller.
 */
char *facts_as_user(const Facts *facts, const char *command);

/* libvirt's URI as the probe of this tree finds it. Owned by the caller. */
char *facts_libvirt_uri(const Facts *facts);

/* Both configurations, or the one that is there: NULL-terminated, at most two. They belong to the facts. */
typedef struct {
    const ConfigFile *file[3];
} ConfigFiles;
ConfigFiles facts_files(const Facts *facts);

/* Where hosts have the tree, by OpenNebula's own configuration (SCRIPTS_REMOTE_DIR in oned.conf). Owned by the caller.
 */
char *facts_remote_dir(const Facts *facts);

/* How long a part of a check may take that has `standard_ms`: less where all of it has less time. */
gint64 facts_limit_ms(const Facts *facts, gint64 standard_ms);

/* The tree of that kind ("kvm", "qemu") is there. */
bool facts_has_kind(const Facts *facts, const char *kind);

/* The command that brings the tree onto the hosts. Owned by the caller. */
char *facts_sync(const Facts *facts);

/* Where a file's spool is. Owned by the caller. */
char *facts_spool_dir(const ConfigFile *file);
