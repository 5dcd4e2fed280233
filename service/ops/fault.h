/* fault.h - a segment file that somebody cuts while it is mapped: reading behind its new end is a SIGBUS in
 * the middle of a search. A call that expects it says whom it is for (om_fault_enter); then the missing
 * page is replaced by zeros, the flag of that collection is set *before* the page can be read, and the call
 * goes on over bytes that it treats as hostile in any case. Nothing is unwound, so no lock and no search
 * context is left behind; whoever reads the zeros sees the flag afterwards and answers DATA_LOSS. On
 * threads that said nothing (the engine's own) the process ends with OM_EXIT_IO and a line on stderr.
 * Depends on: nothing.  Threads: any, but install.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FAULT_H
#define OM_FAULT_H
#include <stdatomic.h>
#include <stdint.h>

void om_fault_install(void);
/* Faults of this thread set *flag to 1, until om_fault_leave. Not nested. */
void om_fault_enter(_Atomic uint32_t *flag);
void om_fault_leave(void);
/* Pages replaced since the start. */
uint64_t om_fault_count(void);
#endif
