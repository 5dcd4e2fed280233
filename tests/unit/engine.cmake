# engine.cmake - unit tests of core/engine, most of them through omen.h.
# SPDX-License-Identifier: Apache-2.0
om_test(engine_life_test SOURCES engine_life_test.c engine_fixture.c DEPENDS omendb)
om_test(engine_write_test SOURCES engine_write_test.c engine_fixture.c DEPENDS omendb)
om_test(engine_search_test SOURCES engine_search_test.c engine_fixture.c DEPENDS omendb)
om_test(engine_file_test SOURCES engine_file_test.c engine_fixture.c DEPENDS omendb)
om_test(engine_memory_test SOURCES engine_memory_test.c engine_fixture.c DEPENDS omendb)
om_test(engine_threads_test SOURCES engine_threads_test.c engine_fixture.c DEPENDS omendb)
om_test(engine_hostile_test SOURCES engine_hostile_test.c engine_fixture.c DEPENDS capi)
om_test(engine_policy_test SOURCES engine_policy_test.c DEPENDS engine)
set(pile engine_pile.c engine_fixture.c)
om_test(engine_seal_test SOURCES engine_seal_test.c ${pile} DEPENDS engine capi)
om_test(engine_merge_test SOURCES engine_merge_test.c ${pile} DEPENDS engine capi)
om_test(engine_snapshot_test SOURCES engine_snapshot_test.c ${pile} DEPENDS engine capi)
