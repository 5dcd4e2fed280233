# store_wal.cmake - unit tests of the log (core/store, wal*.c). SPDX-License-Identifier: Apache-2.0
foreach(part IN ITEMS "" _damage _crash _edges _fault _follow _threads _values)
    om_test(store_wal${part}_test SOURCES store_wal${part}_test.c store_wal_fixture.c
        DEPENDS om_sim store)
endforeach()
if(TARGET store_wal_crash_test)
    add_test(NAME store_wal_crash_full COMMAND store_wal_crash_test 60)
    set_tests_properties(store_wal_crash_full PROPERTIES LABELS full TIMEOUT 3600)
endif()
