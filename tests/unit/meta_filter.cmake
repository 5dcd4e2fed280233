# meta_filter.cmake - unit tests of filters (core/meta). SPDX-License-Identifier: Apache-2.0
pkg_check_modules(SQLITE3 REQUIRED IMPORTED_TARGET sqlite3)
om_test(meta_filter_oracle_test SOURCES meta_filter_oracle_test.c meta_filter_oracle.c
    meta_filter_expression.c meta_filter_fixture.c DEPENDS meta PkgConfig::SQLITE3)
foreach(name IN ITEMS parse eval)
    om_test(meta_filter_${name}_test SOURCES meta_filter_${name}_test.c meta_filter_fixture.c DEPENDS meta)
endforeach()
