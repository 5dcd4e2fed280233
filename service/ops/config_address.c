/* config_address.c - addresses to listen on: their form, and whether others can reach them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config_int.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

bool om_config_is_unix(const char *address)
{
    size_t length = strlen(address);
    return strncmp(address, "unix:/", 6) == 0 && length > 6 &&
           length - 5 < sizeof((struct sockaddr_un *)NULL)->sun_path;
}

static bool is_host_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static bool is_host(const char *host, bool bracketed)
{
    struct in6_addr v6;
    if (bracketed) {
        return inet_pton(AF_INET6, host, &v6) == 1;
    }
    for (const char *c = host; *c != '\0'; c++) {
        if (!is_host_character(*c)) {
            return false;
        }
    }
    return host[0] != '\0';
}

bool om_config_split(const char *address, char *host, uint16_t *port)
{
    uint64_t number = 0;
    bool bracketed = address[0] == '[';
    const char *start = bracketed ? address + 1 : address;
    const char *end = bracketed ? strstr(address, "]:") : strrchr(address, ':');
    if (end == NULL || (size_t)(end - start) >= OM_CONFIG_MAX_ADDRESS - 8) {
        return false;
    }
    const char *digits = end + (bracketed ? 2 : 1);
    if (strlen(digits) > 5 || !om_config_parse_u64(digits, &number) || number > 65535) {
        return false;
    }
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *port = (uint16_t)number;
    return is_host(host, bracketed);
}

/* Names are not resolved: whoever answers for them could change the answer. "localhost" is the
 * exception that RFC 6761 makes. */
bool om_config_is_loopback(const char *address)
{
    char host[OM_CONFIG_MAX_ADDRESS];
    uint16_t port = 0;
    struct in_addr v4;
    struct in6_addr v6;
    if (om_config_is_unix(address)) {
        return true;
    }
    if (!om_config_split(address, host, &port)) {
        return false;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    }
    return strcasecmp(host, "localhost") == 0;
}
