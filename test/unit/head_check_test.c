/*
 * head_check_test.c
 *
 * Which versions of libmicrohttpd are known, and what is found wrong with heads in the form
 * in which each version leaves them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/server/head_check.h"
#include "http/server/request_target.h"
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
 * Check a head, in which _ stands for NUL; returns what is wrong
 */
static const char *
check_head(HeadRemains remains, const char *text)
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
		ok(check_head(good[i].remains, good[i].text) == NULL, "good head %d", (int) i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(check_head(bad[i].remains, bad[i].text) != NULL, "bad head %d", (int) i);
}

/*
 * Check a head of a Host and one more field; returns what is wrong
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

#define PAGE_SIZE 64

/*
 * Move the blanks of a request that begins offset bytes into a page, in pages that hold
 * nothing else, and compare the result. In both texts _ stands for NUL
 */
static bool
moves_blanks_to(size_t offset, const char *text, const char *expected)
{
	size_t size = strlen(text);
	size_t room = (offset + size + PAGE_SIZE) / PAGE_SIZE * PAGE_SIZE;
	char *pages = aligned_alloc(PAGE_SIZE, room);
	char *target;
	bool same;

	memset(pages, 0, room);
	memcpy(pages + offset, text, size);
	for (size_t i = 0; i < room; i++)
		if (pages[i] == '_')
			pages[i] = '\0';
	target = pages + offset + strlen(pages + offset) + 1;
	HeadMoveBlanks(target, TargetEnd(target), PAGE_SIZE);
	for (size_t i = offset; i < offset + size; i++)
		if (pages[i] == '\0')
			pages[i] = '_';
	same = memcmp(pages + offset, expected, size) == 0;
	for (size_t i = offset + size; i < room; i++)
		same &= pages[i] == '\0';
	free(pages);
	return same;
}

#define LINE "PUT_/_HTTP/1.1__"

static void
test_moving(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
	} moved[] = {
		{LINE "Content-Length:12 \r\n\r\n", LINE "Content-Length: 12\r\n\r\n"},
		{LINE "content-length: \t12\t \r\nA", LINE "content-length:    12\r\nA"},
		{LINE "Transfer-Encoding: chunked\t\r\n\r\n", LINE "Transfer-Encoding:  chunked\r\n\r\n"},
		{LINE "A: b \r\nContent-Length: 1 \r\n\r\n", LINE "A: b \r\nContent-Length:  1\r\n\r\n"},
		{LINE "A: b\r\n c\r\nContent-Length:1 \r\n\r",
		 LINE "A: b\r\n c\r\nContent-Length: 1\r\n\r"}};
	static const char *const kept[] = {
		/* other fields, and lines that are no fields */
		LINE "X-Content-Length: 12 \r\n\r\n", LINE "Content-Length2: 12 \r\n\r\n",
		LINE "Content-Length : 12 \r\n\r\n", LINE " Content-Length: 12 \r\n\r\n",
		LINE "Content-Length 12 \r\n\r\n", LINE "Content-Length\r\n\r\n", LINE "A: b \r\n\r\n",
		/* values that are not one word */
		LINE "Content-Length: \r\n\r\n", LINE "Content-Length:\r\n\r\n",
		LINE "Content-Length: 12 13 \r\n\r\n", LINE "Content-Length: 12,13 \r\n\r\n",
		LINE "Transfer-Encoding: chunked , \r\n\r\n", LINE "Content-Length: 12\x0b \r\n\r\n",
		LINE "Content-Length: 12 _ \r\n\r\n",
		/* other ends of lines, and lines that may be folded */
		LINE "Content-Length: 12 \n\r\n", LINE "Content-Length: 12 \r\r\n\r\n",
		LINE "Content-Length: 12 \r\n 3\r\n\r\n", LINE "Content-Length: 12 \r\n\t\r\n\r\n",
		LINE "Content-Length: 12 \r\n", LINE "Content-Length: 12 \r", LINE "Content-Length: 12 ",
		/* after a line with another end, after a NUL, after the head */
		LINE "A: b\nContent-Length: 12 \r\n\r\n", LINE "A: b\rContent-Length: 12 \r\n\r\n",
		LINE "A: _\r\nContent-Length: 12 \r\n\r\n", LINE "\r\nContent-Length: 12 \r\n\r\n",
		LINE "A: b\r\n\r\nContent-Length: 12 \r\n", LINE "\nContent-Length: 12 \r\n\r\n",
		/* wrong request lines */
		"PUT_/ _HTTP/1.1__Content-Length: 12 \r\n\r\n",
		"PUT__HTTP/1.1__Content-Length: 12 \r\n\r\n", "PUT_/_HTTP/1.1 _Content-Length: 12 \r\n\r\n",
		"P T_/_HTTP/1.1__Content-Length: 12 \r\n\r\n", "PUT_/_HTTP/1.1_Content-Length: 12 \r\n\r\n",
		"PUT_/_HTTP/1.12__Content-Length: 1 \r\n\r\n"};
	static const char behind[] = "Content-Length:1 \r\n\r";
	static const char in_front[] = "Content-Length: 1\r\n\r";

	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++)
		ok(moves_blanks_to(0, moved[i].text, moved[i].expected), "moved blanks %d", (int) i);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		ok(moves_blanks_to(0, kept[i], kept[i]), "kept blanks %d", (int) i);
	for (size_t i = 1; i + strlen("PUT") < PAGE_SIZE; i++)
		ok(moves_blanks_to(i, moved[0].text, moved[0].text), "a request %d bytes into a page",
		   (int) i);

	/* the end of a page at each place of the request line and the line after it */
	for (size_t i = 1; i < 2 * PAGE_SIZE; i++)
	{
		char text[4 * PAGE_SIZE];
		char expected[4 * PAGE_SIZE];
		size_t end = strlen("PUT_/") + i + strlen("_HTTP/1.1__");
		bool fits = (end - 2) / PAGE_SIZE == (end + strlen(behind) - 1) / PAGE_SIZE;

		snprintf(text, sizeof(text), "PUT_/%0*d_HTTP/1.1__%s", (int) i, 0, behind);
		snprintf(expected, sizeof(expected), "PUT_/%0*d_HTTP/1.1__%s", (int) i, 0,
				 fits ? in_front : behind);
		ok(moves_blanks_to(0, text, expected), "a target of %d bytes", (int) i + 1);
	}
}

int
main(void)
{
	test_versions();
	test_heads();
	test_framing();
	test_moving();
	return tap_done();
}
