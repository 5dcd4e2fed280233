# quant.cmake - unit tests of core/quant. SPDX-License-Identifier: Apache-2.0
foreach(name IN ITEMS codec probe rotate file)
    om_test(quant_${name}_test SOURCES quant_${name}_test.c quant_fixture.c DEPENDS quant)
endforeach()
