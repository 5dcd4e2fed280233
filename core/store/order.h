/* order.h - a sort without bad inputs and without memory beside, for what files hold.
 * Depends on: base.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ORDER_H
#define OM_ORDER_H
#include "base.h"

/* Below, at or above 0 as item a stands before, beside or behind item b. */
typedef int (*om_order_compare)(const void *items, uint32_t a, uint32_t b);
/* The numbers 0 to count - 1 in the order of their items. */
void om_order_sort(uint32_t *order, uint32_t count, om_order_compare compare, const void *items);
#endif
