# query.cmake - unit tests of core/query. SPDX-License-Identifier: Apache-2.0
om_test(query_fuse_test SOURCES query_fuse_test.c DEPENDS query LABELS check)
om_test(query_plan_test SOURCES query_plan_test.c graph_fixture.c DEPENDS query os LABELS check)
