# os.cmake - unit tests of core/os. SPDX-License-Identifier: Apache-2.0
om_test(os_file_test SOURCES os_file_test.c DEPENDS os)
om_test(os_io_test SOURCES os_io_test.c DEPENDS os)
om_test(os_map_test SOURCES os_map_test.c DEPENDS os)
om_test(os_pool_test SOURCES os_pool_test.c DEPENDS os)
om_test(os_thread_test SOURCES os_thread_test.c DEPENDS os)
om_test(os_vm_test SOURCES os_vm_test.c DEPENDS os)
