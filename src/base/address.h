/*
 * address.h
 *
 * Addresses of clients: that of the connection, or if that one is a trusted proxy's, the one
 * that the proxy forwards for. All are kept as IPv6; an address of IPv4 is ::ffff:a.b.c.d.
 *
 * Nothing here needs a server, allocates memory or raises an error.
 */
#ifndef FAST_INGEST_ADDRESS_H
#define FAST_INGEST_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct
{
	uint8_t bytes[16];
} IpAddress;

typedef struct
{
	IpAddress address;
	int bits; /* length of the prefix that must match, 0 to 128 */
} IpRange;

/* Read the address of a connection; false if it is neither of IPv4 nor of IPv6. */
extern bool IpAddressOfSocket(const struct sockaddr *socket, IpAddress *address);

/*
 * Read an address as clients and proxies write it: plain, with a port, in brackets, in double
 * quotes. False if the text is no address.
 */
extern bool IpAddressParse(const char *text, size_t len, IpAddress *address);

/* Read an address, or a range like 10.0.0.0/8 or fd00::/8; false if the text is neither. */
extern bool IpRangeParse(const char *text, IpRange *range);

/* Is an address in any of n ranges? */
extern bool IpRangesContain(const IpRange *ranges, int n, const IpAddress *address);

/*
 * Replace the address of a trusted proxy by the one that it forwards for, by its
 * X-Forwarded-For. The list is read from its end: each trusted proxy vouches for the entry
 * that it added, and the first address that is not a trusted proxy's is the client. Entries
 * to the left of it may be forged. If the list ends, or the next entry is no address, the
 * last trusted proxy is the client. An address that is not trusted stays as it is.
 *
 * values are those of all headers of that name, in their order in the request.
 */
extern void IpAddressReadForwarded(IpAddress *address, const char *const *values, int nvalues,
								   const IpRange *trusted, int ntrusted);

/* Write an address as people do, IPv4 without the prefix; returns text. */
#define IP_ADDRESS_TEXT_SIZE 46
extern const char *IpAddressPrint(const IpAddress *address, char text[IP_ADDRESS_TEXT_SIZE]);

/*
 * Reduce an address to what rate limits are kept for: the whole of IPv4, the /64 of IPv6,
 * whose addresses belong to one customer.
 */
extern void IpAddressToNetwork(IpAddress *address);

#endif
