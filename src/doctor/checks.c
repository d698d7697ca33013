/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/checks.h"

#include <string.h>

const CheckInfo check_info[N_CHECKS] = {
#define DOCTOR_CHECK(name, at, seconds, what) {#name, CHECK_AT_##at, seconds, examine_##name, what},
#include "doctor/checks.def"
#undef DOCTOR_CHECK
};

int check_find(const char *name)
{
    for (int i = 0; i < N_CHECKS; i++)
        if (strcmp(check_info[i].name, name) == 0)
            return i;
    return -1;
}
