/* SPDX-License-Identifier: Apache-2.0
 * What is read once per start of a domain, and kept with the state from then on: OpenNebula's metadata, the NICs'
 * hardware addresses and bridges. Pure. */
#pragma once

#include "model/sample.h"

/* The names of the VM's NICs, as VmSample.xml_devices keeps them: the XML is read again when they change. Owned by the
 * caller. */
char *identity_devices(const VmSample *vm);

/* Files it in `vm`: from `before`, the same run of the domain in the previous sample (NULL: not known, or renamed),
 * then from `xml` (NULL: it was not read). Sets xml_devices when all of it is known. */
void identity_add(VmSample *vm, const VmSample *before, const char *xml);
