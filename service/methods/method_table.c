/* method_table.c - every method of api/ with its implementation: a missing one does not link.
 * SPDX-License-Identifier: Apache-2.0 */
#include "impls.h"

#define OM_METHOD(symbol, service, name, client, server) \
    {service, name, "/" service "/" name, (client) != 0, (server) != 0, &om_impl_##symbol},
const om_rpc_method om_rpc_methods[] = {
#include "om_methods.inc"
};
#undef OM_METHOD
const uint32_t om_rpc_method_count = sizeof om_rpc_methods / sizeof om_rpc_methods[0];
