/* entry.c - where the loader enters omend and omen on x86-64: a landing place for a jump through a pointer.
 * _start of the C library is none (Debian builds its startup files without), so that a kernel that tracks
 * indirect branches would end the process at its first instruction; see om_harden() in OmenFlags.cmake.
 * SPDX-License-Identifier: Apache-2.0 */
void om_entry(void);

/* No C: at this point there is no stack frame, and the registers are for _start. */
__asm__(".text\n"
        ".globl om_entry\n"
        ".type om_entry, @function\n"
        "om_entry:\n"
        "    endbr64\n"
        "    jmp _start\n"
        ".size om_entry, .-om_entry\n");
