# store.cmake - unit tests of core/store. SPDX-License-Identifier: Apache-2.0
om_test(store_crc32c_test SOURCES store_crc32c_test.c DEPENDS store)
om_test(store_segfile_test SOURCES store_segfile_test.c store_sample.c DEPENDS store)
om_test(store_damage_test SOURCES store_damage_test.c store_sample.c DEPENDS store)
om_test(store_write_test SOURCES store_write_test.c store_sample.c DEPENDS store)
