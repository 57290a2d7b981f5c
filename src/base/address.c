/*
 * address.c
 *
 * Reading addresses and X-Forwarded-For.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t ipv4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

#define IPV4_PREFIX_BITS 96

static void
set_ipv4(IpAddress *address, const void *bytes)
{
	memcpy(address->bytes, ipv4_prefix, sizeof(ipv4_prefix));
	memcpy(address->bytes + sizeof(ipv4_prefix), bytes, 4);
}

static bool
is_ipv4(const IpAddress *address)
{
	return memcmp(address->bytes, ipv4_prefix, sizeof(ipv4_prefix)) == 0;
}

bool
IpAddressOfSocket(const struct sockaddr *socket, IpAddress *address)
{
	if (socket->sa_family == AF_INET)
		set_ipv4(address, &((const struct sockaddr_in *) socket)->sin_addr);
	else if (socket->sa_family == AF_INET6)
		memcpy(address->bytes, &((const struct sockaddr_in6 *) socket)->sin6_addr, 16);
	else
		return false;
	return true;
}

/*
 * Read an address without port, brackets or quotes
 */
static bool
parse_bare(const char *text, IpAddress *address)
{
	struct in_addr ipv4;

	if (inet_pton(AF_INET6, text, address->bytes) == 1)
		return true;
	if (inet_pton(AF_INET, text, &ipv4) != 1)
		return false;
	set_ipv4(address, &ipv4);
	return true;
}

bool
IpAddressParse(const char *text, size_t len, IpAddress *address)
{
	char copy[64]; /* the longest is [address]:port */
	char *begin = copy;
	char *colon;

	if (len >= 2 && text[0] == '"' && text[len - 1] == '"')
	{
		text++;
		len -= 2;
	}
	if (len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	colon = strchr(copy, ':');
	if (copy[0] == '[')
	{
		char *end = strchr(copy, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		*end = '\0';
		begin++;
	}
	else if (colon != NULL && strchr(colon + 1, ':') == NULL)
		*colon = '\0'; /* with one colon it is IPv4 and a port */
	return parse_bare(begin, address);
}

bool
IpRangeParse(const char *text, IpRange *range)
{
	char copy[64];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t) (slash - text) : strlen(text);
	int most_bits;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!parse_bare(copy, &range->address))
		return false;
	most_bits = strchr(copy, ':') != NULL ? 128 : 32;
	range->bits = most_bits;
	if (slash != NULL)
	{
		char *end;
		long bits = strtol(slash + 1, &end, 10);

		if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > most_bits)
			return false;
		range->bits = (int) bits;
	}
	range->bits += most_bits == 32 ? IPV4_PREFIX_BITS : 0;
	return true;
}

static bool
range_contains(const IpRange *range, const IpAddress *address)
{
	int whole = range->bits / 8;
	int rest = range->bits % 8;

	return memcmp(range->address.bytes, address->bytes, whole) == 0 &&
		   (rest == 0 || (range->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0);
}

bool
IpRangesContain(const IpRange *ranges, int n, const IpAddress *address)
{
	for (int i = 0; i < n; i++)
		if (range_contains(&ranges[i], address))
			return true;
	return false;
}

void
IpAddressReadForwarded(IpAddress *address, const char *const *values, int nvalues,
					   const IpRange *trusted, int ntrusted)
{
	for (int i = nvalues - 1; i >= 0; i--)
	{
		size_t end = strlen(values[i]);

		for (;;)
		{
			size_t begin = end;
			size_t next;
			IpAddress forwarded;

			while (begin > 0 && values[i][begin - 1] != ',')
				begin--;
			next = begin;
			while (begin < end && (values[i][begin] == ' ' || values[i][begin] == '\t'))
				begin++;
			while (end > begin && (values[i][end - 1] == ' ' || values[i][end - 1] == '\t'))
				end--;
			if (!IpRangesContain(trusted, ntrusted, address) ||
				!IpAddressParse(values[i] + begin, end - begin, &forwarded))
				return;
			*address = forwarded;
			if (next == 0)
				break;
			end = next - 1;
		}
	}
}

void
IpAddressToNetwork(IpAddress *address)
{
	if (!is_ipv4(address))
		memset(address->bytes + 8, 0, 8);
}

const char *
IpAddressPrint(const IpAddress *address, char text[IP_ADDRESS_TEXT_SIZE])
{
	bool ipv4 = is_ipv4(address);

	return inet_ntop(ipv4 ? AF_INET : AF_INET6, address->bytes + (ipv4 ? sizeof(ipv4_prefix) : 0),
					 text, IP_ADDRESS_TEXT_SIZE);
}
