/* fields.h - declared fields of collections: between omen.v1.Field and the engine's omen_field.
 * Depends on: failure.h, protobuf-c.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FIELDS_H
#define OM_FIELDS_H
#include "failure.h"
#include "omen/v1/types.pb-c.h"

/* The fields as the engine has them, to be freed; *out is NULL when there are none. `what` names the list
 * in errors: "config.fields". */
bool om_field_list_read(Omen__V1__Field *const *fields, size_t count, const char *what,
                        omen_field **out, om_failure *f);
/* All fields of a collection as messages, in one allocation. */
typedef struct om_field_list {
    Omen__V1__Field **list;
    size_t count;
    void *memory;
} om_field_list;
omen_status_t om_field_list_of(omen_collection *collection, om_field_list *out, omen_error *err)
    __attribute__((warn_unused_result));
void om_field_list_end(om_field_list *fields);
#endif
