# access.cmake - unit tests of service/access. SPDX-License-Identifier: Apache-2.0
om_test(access_names_test SOURCES access_names_test.c DEPENDS om_access)
om_test(access_keys_test SOURCES access_keys_test.c access_fixture.c DEPENDS om_access)
om_test(access_jwt_test SOURCES access_jwt_test.c access_fixture.c DEPENDS om_access)
foreach(test IN ITEMS access_names_test access_keys_test access_jwt_test)
    if(TARGET ${test})
        target_link_libraries(${test} PRIVATE PkgConfig::CRYPTO PkgConfig::SQLITE)
    endif()
endforeach()
