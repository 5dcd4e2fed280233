# store_wal.cmake - unit tests of the log (core/store, wal*.c). SPDX-License-Identifier: Apache-2.0
foreach(part IN ITEMS "" _damage _crash _edges _fault _follow _threads _values)
    om_test(store_wal${part}_test SOURCES store_wal${part}_test.c store_wal_fixture.c
        DEPENDS om_sim store)
endforeach()
