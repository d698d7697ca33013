/* SPDX-License-Identifier: Apache-2.0
 * One sample of a VM as the SQL that puts it into the VM's file for OpenNebula's forecaster:
 *
 *   /var/tmp/one_db/<VM id>.db
 *     virtualmachine_<VM id>_<table>_monitoring (TIMESTAMP INTEGER PRIMARY KEY, VALUE REAL NOT NULL)
 *     a trigger on each, delete_old_records_<name of the table>, that deletes what is older than so many weeks
 *
 * which is what OpenNebula 7's poll.rb makes, and prediction.py reads; the tables are in model/forecast.def. Pure. */
#pragma once

#include "model/sample.h"

/* "83.db". Owned by the caller. */
char *forecast_file_name(guint64 vm_id);

/* One transaction with a row in each table whose value is known, at that second since 1970; a second row of the same
 * second replaces the first. With `create`, tables and triggers (of so many weeks) that are missing are made before.
 * false: nothing of the VM is known, `out` is as it was. */
bool forecast_sql_append(GString *out, const VmSample *vm, gint64 seconds, bool create, guint weeks);
