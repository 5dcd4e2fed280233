/* condition.h - a filter of the command line: its text, and the values of --param, bound to $1, $2, ...
 * Depends on: args.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CONDITION_H
#define OM_CONDITION_H
#include "args.h"

typedef struct om_condition {
    const char *text; /* NULL: all items */
    omen_param *params;
    size_t param_count;
} om_condition;
/* From --filter and --param. */
bool om_condition_from_args(const om_args *args, om_condition *out, om_tool_error *err);
void om_condition_free(om_condition *c);
#endif
