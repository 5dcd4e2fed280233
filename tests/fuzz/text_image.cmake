# text_image.cmake - fuzz target of the index of core/text. SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_textimage SOURCES fuzz_textimage.c DEPENDS text CORPUS corpus/fuzz_textimage MAX_LEN 32768)
