# text_analyser.cmake - unit tests of the analyser of core/text. SPDX-License-Identifier: Apache-2.0
om_test(text_analyser_test SOURCES text_analyser_test.c DEPENDS text)
