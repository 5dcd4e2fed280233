# text_analyser.cmake - fuzz target of the analyser of core/text. SPDX-License-Identifier: Apache-2.0
om_fuzz(fuzz_analyser SOURCES fuzz_analyser.c DEPENDS text CORPUS corpus/fuzz_analyser MAX_LEN 8192)
