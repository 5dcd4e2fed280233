# capi.cmake - unit tests of capi. SPDX-License-Identifier: Apache-2.0
om_test(capi_struct_test SOURCES capi_struct_test.c engine_fixture.c DEPENDS omendb)
