/* os_int.h - shared inside core/os. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_OS_INT_H
#define OM_OS_INT_H
#include "os.h"

/* The status of a failed system call on a file: what the caller can change is FAILED_PRECONDITION, a
 * sick disk is UNAVAILABLE. om_fail_errno refines full disks, missing files and memory further. */
omen_status_t om_os_status(int sys_errno);
/* What stands behind the last slash, and the folder before it ("." when there is none). */
const char *om_os_last_part(const char *path);
omen_status_t om_os_folder(const char *path, char *out, size_t capacity,
                           omen_error *err) OM_NODISCARD;
#endif
