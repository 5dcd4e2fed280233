/* capi_struct.c - structs and handles as the caller gives them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "capi_int.h"
#include "os.h"

enum { STRUCT_LEAST = 8, STRUCT_MOST = 4096 };

static omen_status_t read_size(const void *from, const char *name, size_t *size, omen_error *err)
{
    uint32_t n = 0;
    memcpy(&n, from, sizeof n);
    if (n < STRUCT_LEAST || n > STRUCT_MOST) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_STRUCT_SIZE,
                       "%s.struct_size: %u is not in %d to %d; set it to sizeof", name, n,
                       STRUCT_LEAST, STRUCT_MOST);
    }
    *size = n;
    return OMEN_OK;
}

omen_status_t om_struct_in(void *dst, size_t known, const void *src, const char *name,
                           omen_error *err)
{
    memset(dst, 0, known);
    if (src == NULL) {
        return OMEN_OK;
    }
    size_t size = 0;
    omen_status_t status = read_size(src, name, &size, err);
    if (status != OMEN_OK) {
        return status;
    }
    for (size_t i = known; i < size; i++) {
        if (((const unsigned char *)src)[i] != 0) {
            return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_STRUCT_SIZE,
                           "%s: byte %zu is set, this library knows %zu bytes of the struct", name,
                           i, known);
        }
    }
    memcpy(dst, src, size < known ? size : known);
    return OMEN_OK;
}

omen_status_t om_struct_room(const void *dst, const char *name, size_t *room, omen_error *err)
{
    omen_status_t status = om_pointer_check(dst, name, err);
    return status != OMEN_OK ? status : read_size(dst, name, room, err);
}

void om_struct_out(void *dst, size_t room, const void *src, size_t known)
{
    const size_t kept = sizeof(uint32_t); /* struct_size */
    size_t copied = room < known ? room : known;
    memcpy((unsigned char *)dst + kept, (const unsigned char *)src + kept, copied - kept);
    if (room > known) {
        memset((unsigned char *)dst + known, 0, room - known);
    }
}

static omen_status_t check_handle(uint64_t magic, uint64_t expected, uint32_t generation,
                                  const char *name, omen_error *err)
{
    if (magic != expected) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE,
                       "%s: not a handle of this kind, or freed", name);
    }
    if (generation != om_fork_generation()) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_FORKED,
                       "%s: made before a fork; open a new one in the child", name);
    }
    return OMEN_OK;
}

omen_status_t om_handle_check(const om_handle *handle, uint64_t magic, const char *name,
                              omen_error *err)
{
    omen_status_t status = om_pointer_check(handle, name, err);
    return status != OMEN_OK ? status
                             : check_handle(handle->magic, magic, handle->generation, name, err);
}

bool om_handle_owned(const om_handle *handle, uint64_t magic)
{
    return handle != NULL &&
           check_handle(handle->magic, magic, handle->generation, "", NULL) == OMEN_OK;
}

omen_status_t om_op_check(const omen_op *op, omen_error *err)
{
    if (op != NULL && op->magic != OM_MAGIC_OP) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE, "op: not an omen_op, or freed");
    }
    return OMEN_OK;
}

omen_status_t om_pointer_check(const void *pointer, const char *name, omen_error *err)
{
    if (pointer == NULL) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "%s: must not be NULL", name);
    }
    return OMEN_OK;
}
