/* SPDX-License-Identifier: Apache-2.0
 * What a program that others start and wait for does with itself. */
#pragma once

/* A descriptor of 0 to 2 that the caller closed would be the next file or socket we open, and get our output. They are
 * opened for reading alone, so that writing fails as it should. */
void process_take_standard_descriptors(void);

/* What the process holds goes with it: to free it all, and to run the exit handlers of the fifty libraries that libvirt
 * brings along, costs as much as a run's own work. Returns in sanitized builds alone, where leaks are looked for on the
 * usual way out. */
void process_leave(int status);
