/* capi_int.h - the checks that every entry shares: handles, [ext] structs, pointers.
 * Depends on: base, os, engine.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CAPI_INT_H
#define OM_CAPI_INT_H
#include "base.h"
#include "engine.h"
#include "op.h"

/* Reads an [ext] struct of any age into `dst`, zeros behind a shorter one. Non-zero bytes behind
 * what is known are a newer option that must not be ignored. src NULL: all zero. */
omen_status_t om_struct_in(void *dst, size_t known, const void *src, const char *name,
                           omen_error *err) OM_NODISCARD;
/* The caller's struct_size of an [ext] struct to be filled. */
omen_status_t om_struct_room(const void *dst, const char *name, size_t *room,
                             omen_error *err) OM_NODISCARD;
/* Fills the caller's struct as far as it goes; struct_size itself stays; zeros behind what is
 * known. */
void om_struct_out(void *dst, size_t room, const void *src, size_t known);

/* A live handle of this process. */
omen_status_t om_handle_check(const om_handle *handle, uint64_t magic, const char *name,
                              omen_error *err) OM_NODISCARD;
/* Whether a free call may release the handle: not after a fork, not twice. */
bool om_handle_owned(const om_handle *handle, uint64_t magic);
omen_status_t om_op_check(const omen_op *op, omen_error *err) OM_NODISCARD; /* NULL is fine */
omen_status_t om_filter_check(const void *filter, omen_error *err) OM_NODISCARD; /* NULL is fine */
omen_status_t om_pointer_check(const void *pointer, const char *name, omen_error *err) OM_NODISCARD;
#endif
