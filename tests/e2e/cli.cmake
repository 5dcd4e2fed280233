# cli.cmake - the omen tool from the outside, on files and at a server. SPDX-License-Identifier: Apache-2.0
# With a thread sanitizer the graph is built a hundred times slower: too slow for whole programs.
if(TARGET omen AND TARGET omend AND NOT OMEN_SANITIZE MATCHES "thread")
    foreach(part IN ITEMS Files CommandLine AtAServer)
        add_test(NAME cli_${part} COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/cli_test.py
            ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR}/demo/data ${part})
        set_tests_properties(cli_${part} PROPERTIES LABELS "check;c" TIMEOUT 600)
    endforeach()
    foreach(part IN ITEMS InAFolder Resuming)
        add_test(NAME cli_durable_${part} COMMAND python3
            ${CMAKE_CURRENT_SOURCE_DIR}/cli_durable_test.py
            ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR}/demo/data ${part})
        set_tests_properties(cli_durable_${part} PROPERTIES LABELS "check;c" TIMEOUT 600)
    endforeach()
    foreach(part IN ITEMS OnAFile InADatabase AtAServer)
        add_test(NAME cli_metadata_${part} COMMAND python3
            ${CMAKE_CURRENT_SOURCE_DIR}/cli_metadata_test.py
            ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR}/demo/data ${part})
        set_tests_properties(cli_metadata_${part} PROPERTIES LABELS "check;c" TIMEOUT 600)
    endforeach()
endif()
