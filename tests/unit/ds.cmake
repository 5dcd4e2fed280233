# ds.cmake - unit tests of core/ds. SPDX-License-Identifier: Apache-2.0
om_test(ds_idmap_test SOURCES ds_idmap_test.c DEPENDS ds)
om_test(ds_idtable_test SOURCES ds_idtable_test.c DEPENDS ds)
