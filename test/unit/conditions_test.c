/*
 * conditions_test.c
 *
 * Accept-Encoding and If-None-Match: what clients send, and what nobody should.
 */
#include "http/pages/conditions.h"
#include "tap.h"

/*
 * Is gzip preferred after these lines? NULL: there is no such line.
 */
static bool
prefers_gzip(const char *first, const char *second)
{
	AcceptedCodings codings = ACCEPTED_CODINGS_NONE;

	if (first != NULL)
		AcceptEncodingRead(first, &codings);
	if (second != NULL)
		AcceptEncodingRead(second, &codings);
	return AcceptedCodingsPreferGzip(&codings);
}

static void
test_codings(void)
{
	static const char *const gzip[] = {
		"gzip",
		"GZip",
		"x-gzip",
		"*",
		"gzip, deflate, br, zstd",
		"deflate,br ,\tgzip",
		",,gzip,",
		"gzip;q=1",
		"gzip;Q=0.001",
		"gzip ; q=1.000",
		"gzip;\tq=0.5 , identity;q=0.5",
		"identity;q=0.5, *;q=0.7",
		"br;q=1.0, gzip;q=0.8, *;q=0.1",
		"identity;q=0, gzip;q=0.1",
	};
	static const char *const identity[] = {
		"",
		" ",
		",",
		"identity",
		"br",
		"gzip;q=0",
		"gzip;q=0.000",
		"*;q=0",
		"gzip;q=0, *",
		"gzip;q=0.5, identity",
		"gzip;q=0.5, identity;q=0.501",
		"gzip, gzip;q=0",
		"gzip;q=0, gzip",
		"x-gzip;q=0, gzip",
		"gzipped",
		"gzi",
		"gzip2",
		"xgzip",
		"**",
		"gzip;q",
		"gzip;q=",
		"gzip;",
		"gzip; ",
		"gzip;q=2",
		"gzip;q=1.001",
		"gzip;q=0.1234",
		"gzip;q=-1",
		"gzip;q=.5",
		"gzip;q=0,5x",
		"gzip;q= 1",
		"gzip;q=1;x=2",
		"gzip;x=2",
		"gzip q=1",
		"\"gzip\"",
		"deflate;q=\"gzip\"",
		"gzip\xff",
		"; ,;,q=1",
	};

	for (size_t i = 0; i < sizeof(gzip) / sizeof(gzip[0]); i++)
		ok(prefers_gzip(gzip[i], NULL), "\"%s\": gzip", gzip[i]);
	for (size_t i = 0; i < sizeof(identity) / sizeof(identity[0]); i++)
		ok(!prefers_gzip(identity[i], NULL), "\"%s\": as it is", identity[i]);
	ok(!prefers_gzip(NULL, NULL), "no line: as it is");
	ok(prefers_gzip("br", "gzip"), "two lines are one list");
	ok(!prefers_gzip("*", "gzip;q=0"), "also where the second takes from the first");
}

static void
test_etags(void)
{
	static const char *const good[] = {
		"*",
		" * ",
		"\"abc\"",
		"W/\"abc\"",
		"\"x\", W/\"abc\"",
		"\"x\",\t\"abc\" ,\"y\"",
		",\"abc\"",
		"\"a,b\", \"abc\"",
		"\"\", \"abc\"",
		"W/\"abc\", junk",
	};
	static const char *const bad[] = {
		"",
		" ",
		",",
		"abc",
		"\"ab\"",
		"\"abcd\"",
		"\"ABC\"",
		"w/\"abc\"",
		"W/ \"abc\"",
		"\"abc",
		"abc\"",
		"\"x\" \"abc\"",
		"\"x\"; \"abc\"",
		"\"x, \"abc\"",
		"**",
		"* , \"x\"",
		"\"*\"",
		"x, \"abc\"",
		"\"a\xff\"",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		ok(EntityTagIsListed(good[i], "W/\"abc\""), "%s has the tag", good[i]);
		ok(EntityTagIsListed(good[i], "\"abc\""), "%s has the strong tag", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!EntityTagIsListed(bad[i], "W/\"abc\""), "%s has not", bad[i]);
}

int
main(void)
{
	test_codings();
	test_etags();
	return tap_done();
}
