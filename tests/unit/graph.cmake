# graph.cmake - unit tests of core/graph. SPDX-License-Identifier: Apache-2.0
om_test(graph_test SOURCES graph_test.c graph_fixture.c DEPENDS graph os LABELS check)
om_test(graph_filter_test SOURCES graph_filter_test.c graph_fixture.c DEPENDS graph os LABELS check)
om_test(graph_hostile_test SOURCES graph_hostile_test.c graph_fixture.c DEPENDS graph os LABELS check)
