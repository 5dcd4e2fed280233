# store_wal.cmake - unit tests of the log (core/store, wal*.c). SPDX-License-Identifier: Apache-2.0
set(wal_fixture store_wal_fixture.c)
om_test(store_wal_test SOURCES store_wal_test.c ${wal_fixture} DEPENDS om_sim store)
