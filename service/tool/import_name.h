/* import_name.h - the stream id of an upload. Depends on: args.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IMPORT_NAME_H
#define OM_IMPORT_NAME_H
#include "args.h"

typedef struct om_import_name_parts {
    const char *collection, *file;
    uint64_t batch; /* rows a batch: seq n must always mean the same rows */
} om_import_name_parts;
/* False: there is none that could be found again (a pipe, or --again). */
bool om_import_name(const om_args *args, const om_import_name_parts *parts, char *out, size_t size);
#endif
