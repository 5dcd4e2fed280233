# text_index.cmake - unit tests of the index of core/text. SPDX-License-Identifier: Apache-2.0
om_test(text_image_test SOURCES text_image_test.c text_fixture.c DEPENDS text)
om_test(text_search_test SOURCES text_search_test.c text_fixture.c DEPENDS text)
om_test(text_failure_test SOURCES text_failure_test.c text_fixture.c DEPENDS text)
