# meta.cmake - unit tests of core/meta: jansson is what rows and JSON are held against.
# SPDX-License-Identifier: Apache-2.0
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
om_test(meta_text_test SOURCES meta_text_test.c DEPENDS meta)
om_test(meta_schema_test SOURCES meta_schema_test.c meta_fixture.c DEPENDS meta PkgConfig::JANSSON)
om_test(meta_json_test SOURCES meta_json_test.c meta_fixture.c DEPENDS meta PkgConfig::JANSSON)
om_test(meta_batch_test SOURCES meta_batch_test.c meta_fixture.c DEPENDS meta PkgConfig::JANSSON)
om_test(meta_block_test SOURCES meta_block_test.c meta_fixture.c DEPENDS meta PkgConfig::JANSSON)
