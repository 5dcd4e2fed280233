# service.cmake - unit tests of service/wire and service/rpc. SPDX-License-Identifier: Apache-2.0
om_test(service_write_reader_test SOURCES service_write_reader_test.c DEPENDS om_wire)
om_test(service_search_reader_test SOURCES service_search_reader_test.c DEPENDS om_wire)
om_test(service_search_rich_test SOURCES service_search_rich_test.c DEPENDS om_wire)
om_test(service_guard_test SOURCES service_guard_test.c DEPENDS om_wire)
om_test(service_failure_test SOURCES service_failure_test.c DEPENDS om_wire)
om_test(service_pool_test SOURCES service_pool_test.c DEPENDS om_rpc)
om_test(access_tenants_test SOURCES access_tenants_test.c DEPENDS om_access)
om_test(service_lanes_test SOURCES service_lanes_test.c DEPENDS om_rpc)
om_test(service_accept_test SOURCES service_accept_test.c DEPENDS om_rpc
    ENVIRONMENT TSAN_OPTIONS=ignore_noninstrumented_modules=1)
om_test(service_rt_test SOURCES service_rt_test.c DEPENDS om_rpc
    ENVIRONMENT TSAN_OPTIONS=ignore_noninstrumented_modules=1)
om_test(service_operations_test SOURCES service_operations_test.c DEPENDS om_rpc
    ENVIRONMENT TSAN_OPTIONS=ignore_noninstrumented_modules=1)
om_test(service_shares_test SOURCES service_shares_test.c DEPENDS om_rpc
    ENVIRONMENT TSAN_OPTIONS=ignore_noninstrumented_modules=1)
foreach(test IN ITEMS service_lanes_test service_accept_test)
    if(TARGET ${test})
        target_include_directories(${test} PRIVATE ${PROJECT_SOURCE_DIR}/service/rpc)
    endif()
endforeach()
foreach(test IN ITEMS service_rt_test service_operations_test service_shares_test)
    if(TARGET ${test})
        target_include_directories(${test} PRIVATE ${PROJECT_SOURCE_DIR}/service/methods)
    endif()
endforeach()
