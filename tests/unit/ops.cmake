# ops.cmake - unit tests of service/ops. SPDX-License-Identifier: Apache-2.0
om_test(ops_config_test SOURCES ops_config_test.c DEPENDS om_ops)
om_test(ops_slog_test SOURCES ops_slog_test.c DEPENDS om_ops)
om_test(ops_metrics_test SOURCES ops_metrics_test.c ops_promtext.c DEPENDS om_ops)
om_test(ops_collections_test SOURCES ops_collections_test.c ops_promtext.c DEPENDS om_ops)
om_test(ops_admin_test SOURCES ops_admin_test.c ops_promtext.c DEPENDS om_ops)
om_test(ops_tls_test SOURCES ops_tls_test.c DEPENDS om_ops PkgConfig::CRYPTO)
om_test(ops_notify_test SOURCES ops_notify_test.c DEPENDS om_ops)
