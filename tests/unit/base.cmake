# base.cmake - unit tests of core/base. SPDX-License-Identifier: Apache-2.0
om_test(base_alloc_test SOURCES base_alloc_test.c DEPENDS base)
om_test(base_fail_test SOURCES base_fail_test.c DEPENDS base)
om_test(base_lock_test SOURCES base_lock_test.c DEPENDS base)
om_test(base_op_test SOURCES base_op_test.c DEPENDS base)
