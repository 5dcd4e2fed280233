# console.cmake - unit tests of service/console. SPDX-License-Identifier: Apache-2.0
om_test(console_test SOURCES console_test.c DEPENDS om_console PkgConfig::CRYPTO
    ENVIRONMENT TSAN_OPTIONS=ignore_noninstrumented_modules=1)
