# observe.cmake - unit tests of service/observe and of what `omen top` reads. SPDX-License-Identifier: Apache-2.0
om_test(observe_history_test SOURCES observe_history_test.c DEPENDS om_observe)
om_test(observe_slow_test SOURCES observe_slow_test.c DEPENDS om_observe)
om_test(observe_recall_test SOURCES observe_recall_test.c engine_fixture.c DEPENDS om_observe)
om_test(tool_top_test SOURCES tool_top_test.c DEPENDS om_toolkit)
