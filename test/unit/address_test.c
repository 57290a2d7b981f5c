/*
 * address_test.c
 *
 * Reading addresses, and which client a request comes from: only a trusted proxy can name
 * another client.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/address.h"
#include "tap.h"

static const char *
shown(const IpAddress *address)
{
	static char text[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, address->bytes, text, sizeof(text));
	return text;
}

static void
test_parse(void)
{
	static const char *const good[][2] = {
		{"192.0.2.1", "::ffff:192.0.2.1"},		  {"192.0.2.1:80", "::ffff:192.0.2.1"},
		{"\"192.0.2.1\"", "::ffff:192.0.2.1"},	  {"2001:db8::1", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},		  {"[2001:db8::1]:443", "2001:db8::1"},
		{"\"[2001:db8::1]:443\"", "2001:db8::1"}, {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
	};
	static const char *const bad[] = {
		"",
		"unknown",
		"_hidden",
		"192.0.2",
		"192.0.2.256",
		"192.0.2.1 ",
		"[::1",
		"[::1]x",
		"\"",
		"1.2.3.4.5",
		"fe80::1%lo",
		"localhost",
		":80",
		"[192.0.2.1",
		"0x7f.1",
		"2130706433",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff:0000",
	};
	IpAddress address;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(IpAddressParse(good[i][0], strlen(good[i][0]), &address) &&
			   strcmp(shown(&address), good[i][1]) == 0,
		   "%s is an address", good[i][0]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!IpAddressParse(bad[i], strlen(bad[i]), &address), "\"%s\" is none", bad[i]);
}

static bool
holds(const char *range_text, const char *address_text)
{
	IpRange range;
	IpAddress address;

	return IpRangeParse(range_text, &range) &&
		   IpAddressParse(address_text, strlen(address_text), &address) &&
		   IpRangesContain(&range, 1, &address);
}

static void
test_ranges(void)
{
	static const char *const bad[] = {"",
									  "10.0.0.0/33",
									  "10.0.0.0/",
									  "10.0.0.0/-1",
									  "::/129",
									  "10.0.0.0/8x",
									  "x/8",
									  "10.0.0.0/ 8",
									  "10.0.0.0/99999999999999999999"};
	IpRange range;

	ok(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"), "10.0.0.0/8");
	ok(holds("10.0.0.128/25", "10.0.0.129") && !holds("10.0.0.128/25", "10.0.0.127"),
	   "10.0.0.128/25");
	ok(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.2"), "an address alone");
	ok(holds("fd00::/7", "fdff::1") && !holds("fd00::/8", "fc00::1"), "fd00::/8");
	ok(holds("0.0.0.0/0", "192.0.2.1") && !holds("0.0.0.0/0", "2001:db8::1"), "all of IPv4");
	ok(holds("::/0", "192.0.2.1"), "all");
	ok(holds("10.0.0.0/8", "::ffff:10.0.0.1"), "IPv4 in IPv6 is IPv4");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!IpRangeParse(bad[i], &range), "\"%s\" is no range", bad[i]);
}

/* The client of a request, where 10.0.0.0/8 and ::1 are trusted proxies. */
static const char *
forwarded(const char *peer, const char *first, const char *second)
{
	IpRange trusted[2];
	const char *values[2] = {first, second};
	IpAddress address;

	(void) IpRangeParse("10.0.0.0/8", &trusted[0]);
	(void) IpRangeParse("::1", &trusted[1]);
	(void) IpAddressParse(peer, strlen(peer), &address);
	IpAddressReadForwarded(&address, values,
						   first == NULL	? 0
						   : second == NULL ? 1
											: 2,
						   trusted, 2);
	return shown(&address);
}

static void
check_forwarded(const char *peer, const char *first, const char *second, const char *expected)
{
	const char *found = forwarded(peer, first, second);

	ok(strcmp(found, expected) == 0, "%s says %s%s%s: %s (%s)", peer, first ? first : "nothing",
	   second ? " and " : "", second ? second : "", expected, found);
}

static void
test_forwarded(void)
{
	check_forwarded("192.0.2.1", NULL, NULL, "::ffff:192.0.2.1");
	check_forwarded("192.0.2.1", "198.51.100.1", NULL, "::ffff:192.0.2.1");
	check_forwarded("10.0.0.1", "198.51.100.1", NULL, "::ffff:198.51.100.1");
	check_forwarded("::1", "198.51.100.1", NULL, "::ffff:198.51.100.1");
	check_forwarded("10.0.0.1", "203.0.113.9, 198.51.100.1", NULL, "::ffff:198.51.100.1");
	check_forwarded("10.0.0.1", "203.0.113.9,198.51.100.1 ,\t10.0.0.2", NULL,
					"::ffff:198.51.100.1");
	check_forwarded("10.0.0.1", "203.0.113.9", "198.51.100.1, 10.0.0.2", "::ffff:198.51.100.1");
	check_forwarded("10.0.0.1", "198.51.100.1", "10.0.0.2", "::ffff:198.51.100.1");
	check_forwarded("10.0.0.1", "10.0.0.3, 10.0.0.2", NULL, "::ffff:10.0.0.3");
	check_forwarded("10.0.0.1", "198.51.100.1, unknown", NULL, "::ffff:10.0.0.1");
	check_forwarded("10.0.0.1", "198.51.100.1, garbage, 10.0.0.2", NULL, "::ffff:10.0.0.2");
	check_forwarded("10.0.0.1", "", NULL, "::ffff:10.0.0.1");
	check_forwarded("10.0.0.1", ",", NULL, "::ffff:10.0.0.1");
	check_forwarded("10.0.0.1", "198.51.100.1,", NULL, "::ffff:10.0.0.1");
	check_forwarded("10.0.0.1", "[2001:db8::1]:443", NULL, "2001:db8::1");
}

static void
test_network(void)
{
	IpAddress address;

	(void) IpAddressParse("2001:db8:1:2:3:4:5:6", 20, &address);
	IpAddressToNetwork(&address);
	ok(strcmp(shown(&address), "2001:db8:1:2::") == 0, "IPv6 counts by /64");
	(void) IpAddressParse("192.0.2.1", 9, &address);
	IpAddressToNetwork(&address);
	ok(strcmp(shown(&address), "::ffff:192.0.2.1") == 0, "IPv4 by address");
}

static void
check_printed(const char *text, const char *expected)
{
	IpAddress address;
	char printed[IP_ADDRESS_TEXT_SIZE];

	ok(IpAddressParse(text, strlen(text), &address) &&
		   strcmp(IpAddressPrint(&address, printed), expected) == 0,
	   "%s is printed as %s", text, expected);
}

static void
test_print(void)
{
	check_printed("192.0.2.1", "192.0.2.1");
	check_printed("::ffff:255.255.255.255", "255.255.255.255");
	check_printed("2001:DB8:0:0:0:0:0:1", "2001:db8::1");
	check_printed("2001:db8:1111:2222:3333:4444:5555:6666",
				  "2001:db8:1111:2222:3333:4444:5555:6666");
	check_printed("::1", "::1");
}

int
main(void)
{
	test_parse();
	test_ranges();
	test_forwarded();
	test_network();
	test_print();
	return tap_done();
}
