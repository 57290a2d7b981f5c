/*
 * head_test.c
 *
 * Which versions of libmicrohttpd are known, and what is found wrong with heads as each of them
 * leaves them behind.
 */
#include <stdint.h>
#include <string.h>

#include "http/head.h"
#include "http/target.h"
#include "tap.h"

static void
test_versions(void)
{
	static const char *const unknown[] = {
		"",		 "0",	   "0.9.74",  "0.9.78", "0.9.7", "0.9.750", "0.10.0", "1.0",
		"1.0.2", "1.0.10", "1.0.1-x", "1.1.0",	"2.0.0", "0.9.75 ", "latest", " 0.9.75"};

	ok(HeadRemainsOf("0.9.75") == HEAD_0_9, "0.9.75 is known");
	ok(HeadRemainsOf("0.9.76") == HEAD_0_9, "0.9.76 is known");
	ok(HeadRemainsOf("0.9.77") == HEAD_0_9, "0.9.77 is known");
	ok(HeadRemainsOf("1.0.0") == HEAD_1_0, "1.0.0 is known");
	ok(HeadRemainsOf("1.0.1") == HEAD_1_0, "1.0.1 is known");
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		ok(HeadRemainsOf(unknown[i]) == HEAD_UNKNOWN, "version \"%s\" is unknown", unknown[i]);
}

/*
 * Check a head; in it _ stands for NUL, CR and LF for themselves
 */
static const char *
check(HeadRemains remains, const char *text)
{
	static char head[256];
	size_t size = strlen(text);
	const char *target;
	const char *version;

	memcpy(head, text, size + 1);
	for (size_t i = 0; i < size; i++)
		if (head[i] == '_')
			head[i] = '\0';
	target = head + strlen(head) + 1;
	version = target + strlen(target) + 1;
	return HeadCheck(remains, head, target, TargetEnd(target), version, size);
}

static void
test_heads(void)
{
	static const struct
	{
		HeadRemains remains;
		const char *text;
	} good[] = {{HEAD_0_9, "GET_/x_HTTP/1.1__Host_ a__B_c \t__C_____"},
				{HEAD_0_9, "GET_/x_HTTP/1.1____"},
				{HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_\nB_c_\t\r\nC__\nD_  _\n\r\n"},
				{HEAD_1_0, "GET_/x_HTTP/1.1_\n\r\n"}},
	  bad[] = {{HEAD_UNKNOWN, "GET_/x_HTTP/1.1__Host_ a____"},
			   {HEAD_UNKNOWN, "GET_/x_HTTP/1.1_\nHost_ a_\n\r\n"},
			   {HEAD_0_9, "GET_/x_HTTP/1.1_\nHost_ a_\n\r\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1__Host_ a____"},
			   {HEAD_0_9, "G\tT_/x_HTTP/1.1__Host_ a____"},
			   {HEAD_1_0, "G\tT_/x_HTTP/1.1_\nHost_ a_\n\r\n"},
			   {HEAD_1_0, "GET\t/x_HTTP/1.1_HTTP/1.1_\nHost_ a_\n\r\n"},
			   {HEAD_0_9, "GET__HTTP/1.1__Host_ a____"},
			   {HEAD_0_9, "GET_/x_HTTP/1.1 __Host_ a____"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1 _\nHost_ a_\n\r\n"},
			   {HEAD_0_9, "GET_/x_HTTP/1.1__Host_ a_B_ b____"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_ b\r\n\r\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_ \n\r\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_\r\r\n\r\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_\n B_ b_\n\r\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost _ a_\n\r\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a\r\n\r\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_\n\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_\n"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ a_\n\r\nX"},
			   {HEAD_0_9, "GET_/x_HTTP/1.1__Host_ a____X"},
			   {HEAD_0_9, "GET_/x_HTTP/1.1__Host_ \x01____"},
			   {HEAD_1_0, "GET_/x_HTTP/1.1_\nHost_ \x7f_\n\r\n"}};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(check(good[i].remains, good[i].text) == NULL, "good head %d", (int) i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(check(bad[i].remains, bad[i].text) != NULL, "bad head %d", (int) i);
}

/*
 * What is wrong with one more field beside a Host
 */
static const char *
check_field(const char *name, const char *value, HeadFraming *framing)
{
	char host[] = "x \t ";
	char copy[64];

	strcpy(copy, value);
	*framing = (HeadFraming){0};
	HeadNoteField(framing, "Host", host);
	HeadNoteField(framing, name, copy);
	if (strcmp(host, "x") != 0)
		return "blanks stay behind a value";
	return HeadCheckFraming(framing, "HTTP/1.1");
}

static void
test_framing(void)
{
	static const char *const lengths[] = {"",	"x",   "1x",  "-1",	 "+1", "1 ",
										  " 1", "1 1", "1,1", "0x1", "1."};
	static const char *const encodings[] = {"",			"gzip",		"chunked ",
											" chunked", "chunked,", "identity"};
	HeadFraming framing;

	ok(check_field("content-length", "0", &framing) == NULL && framing.length == 0, "no body");
	ok(check_field("Content-Length", "0012", &framing) == NULL && framing.length == 12, "a length");
	ok(check_field("Content-Length", "18446744073709551614", &framing) == NULL &&
		   framing.length == UINT64_MAX - 1,
	   "the largest length");
	ok(check_field("Content-Length", "18446744073709551616", &framing) == NULL &&
		   framing.length == UINT64_MAX,
	   "a length beyond it");
	ok(check_field("Content-Length", "99999999999999999999999", &framing) == NULL &&
		   framing.length == UINT64_MAX,
	   "one far beyond it");
	ok(check_field("Transfer-Encoding", "Chunked", &framing) == NULL && framing.chunked, "chunks");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		ok(check_field("Content-Length", lengths[i], &framing) != NULL, "no length: \"%s\"",
		   lengths[i]);
	for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++)
		ok(check_field("Transfer-Encoding", encodings[i], &framing) != NULL, "no encoding: \"%s\"",
		   encodings[i]);
}

int
main(void)
{
	test_versions();
	test_heads();
	test_framing();
	return tap_done();
}
