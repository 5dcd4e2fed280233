/* unit.h - cmocka and what it wants included before it. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_UNIT_H
#define OM_UNIT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#endif
