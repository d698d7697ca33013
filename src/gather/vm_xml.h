/* SPDX-License-Identifier: Apache-2.0
 * What a domain's XML adds to its statistics: OpenNebula's metadata and the NICs' hardware addresses and bridges. Pure.
 */
#pragma once

#include "gather/xml.h"
#include "model/sample.h"

#define VM_XML_MAX (4 * 1024 * 1024) /* bytes of a domain's XML; more is refused */
#define VM_XML_TEXT_MAX XML_TEXT_MAX /* bytes of one value; more is cut on a character boundary */

/* Files them in `vm`: the metadata's name, uname … under "one.name", "one.uname" …; MAC and bridge with the NIC row of
 * that name (its `target dev`). No entities are expanded, nothing is fetched. false: not well-formed, or too large;
 * what was there before stays. */
bool vm_xml_apply(VmSample *vm, const char *xml, gsize length, GError **error);
