/* descriptors.h - what descgen makes out of api/: files, symbols and services for server reflection.
 * Depends on: nothing.  Constant data.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_DESCRIPTORS_H
#define OM_DESCRIPTORS_H
#include <stdint.h>

typedef struct om_desc_file {
    const char *name;     /* "omen/v1/items.proto"                            */
    const uint8_t *bytes; /* a FileDescriptorProto                        */
    uint32_t size;
    const uint32_t *depends; /* indices of its imports, ends with UINT32_MAX */
} om_desc_file;
typedef struct om_desc_symbol {
    const char *name; /* full name, in ascending order */
    uint32_t file;
} om_desc_symbol;
extern const om_desc_file om_desc_files[];
extern const uint32_t om_desc_file_count;
extern const om_desc_symbol om_desc_symbols[];
extern const uint32_t om_desc_symbol_count;
extern const char *const om_desc_services[];
extern const uint32_t om_desc_service_count;
#endif
