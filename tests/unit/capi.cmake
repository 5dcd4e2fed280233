# capi.cmake - unit tests of capi. SPDX-License-Identifier: Apache-2.0
om_test(capi_struct_test SOURCES capi_struct_test.c engine_fixture.c DEPENDS omendb)
om_test(capi_disk_test SOURCES capi_disk_test.c engine_fixture.c DEPENDS omendb)
om_test(capi_find_test SOURCES capi_find_test.c engine_fixture.c DEPENDS omendb)
