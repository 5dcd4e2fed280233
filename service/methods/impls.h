/* impls.h - declares the implementation of every method of api/, by the list that descgen makes.
 * Depends on: rpc.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IMPLS_H
#define OM_IMPLS_H
#include "rpc.h"

#define OM_METHOD(symbol, service, name, client, server) extern const om_rpc_impl om_impl_##symbol;
#include "om_methods.inc"
#undef OM_METHOD
#endif
