/*
 * address.h
 *
 * Where a request comes from: the address of the connection, or, where that is a
 * trusted proxy's, the one that it forwards for. Addresses are those of IPv6; one of
 * IPv4 is ::ffff:a.b.c.d.
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
} ClientAddress;

typedef struct
{
	ClientAddress address;
	int bits; /* how many of them count */
} AddressRange;

/* The address of a connection; false if it is not of IP. */
extern bool ClientAddressOfSocket(const struct sockaddr *socket, ClientAddress *address);

/*
 * Read an address, alone or as proxies write them: with a port, in brackets, in double
 * quotes. False if it is none.
 */
extern bool ClientAddressParse(const char *text, size_t len, ClientAddress *address);

/* Read an address, or a range of them like 10.0.0.0/8 or fd00::/8; false if it is none. */
extern bool AddressRangeParse(const char *text, AddressRange *range);

extern bool AddressRangesHold(const AddressRange *ranges, int n, const ClientAddress *address);

/*
 * The address that a trusted proxy forwards for: from the end of its X-Forwarded-For,
 * the first one that is not a trusted proxy's own. What is left of that anybody can have
 * written. Where it ends, or what follows is no address, it is the last trusted one.
 *
 * values are those of all the request's headers of that name, in order.
 */
extern void ClientAddressForwarded(ClientAddress *address, const char *const *values, int nvalues,
								   const AddressRange *trusted, int ntrusted);

/* Write an address as people do: one of IPv4 without the prefix; returns text. */
#define CLIENT_ADDRESS_TEXT_SIZE 46
extern const char *ClientAddressPrint(const ClientAddress *address,
									  char text[CLIENT_ADDRESS_TEXT_SIZE]);

/* What limits are kept for: an address of IPv4, or the /64 of one of IPv6. */
extern void ClientAddressToNetwork(ClientAddress *address);

#endif
