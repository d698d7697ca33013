/* SPDX-License-Identifier: Apache-2.0
 * What the programs of a host choose alike: their configuration file, libvirt, the directory of what is kept. `program`
 * is the probe's own file, links resolved; NULL unknown. */
#pragma once

#include "base/config.h"

/* What --help and the errors say of it, of each probe that OpenNebula calls. */
#define PROBE_URI_HELP "libvirt connection (default: OpenNebula's kvmrc, else qemu:///system)"
#define PROBE_CONFIG_HELP "configuration file (default: etc/im/kvm-probes.d/telemetry.conf of the tree the probe is in)"
#define PROBE_WORDS_HELP "[HYPERVISOR ... HOST_ID HOST_NAME]"
#define PROBE_WORDS_WRONG "expected HOST_ID and HOST_NAME as the last two of OpenNebula's arguments, or none of them"

/* The file `named` (--config; may be NULL), else the environment's, else that of the tree the probe is in; none there
 * is none to read. *ret_file (may be NULL): it, absolute, owned by the caller; NULL: none was read. */
bool probe_settings_load(Config *config, const char *named, const char *program, char **ret_file, GError **error);

/* As config_set; NULL: the option is not on the command line. */
bool probe_settings_set(Config *config, ConfigOption option, const char *value, const char *flag, GError **error);

/* Which libvirt: the configuration's, else OpenNebula's kvmrc's, else qemu:///system. The second is NULL with an error
 * where the kvmrc has one that can't be found out (kvmrc.h). Owned by the caller. */
char *probe_settings_uri(const Config *config, const char *program);
char *probe_settings_uri_or_fail(const Config *config, const char *program, GError **error);

/* Where samples and what was said are kept, there or not. Owned by the caller. */
char *probe_settings_state_dir(const Config *config);
