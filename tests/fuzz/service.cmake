# service.cmake - fuzz targets of service/wire. SPDX-License-Identifier: Apache-2.0
foreach(part IN ITEMS write search guard)
    om_fuzz(fuzz_wire_${part} SOURCES fuzz_wire_${part}.c DEPENDS om_wire
        CORPUS corpus/fuzz_wire_${part} MAX_LEN 8192)
    if(TARGET fuzz_wire_${part})
        target_include_directories(fuzz_wire_${part} PRIVATE ../unit)
    endif()
endforeach()
