/*
 * request_target_test.c
 *
 * The forms of a target, what is escaped in its path, and its parameters.
 */
#include <string.h>

#include "http/server/request_target.h"
#include "tap.h"

/*
 * Prepare a copy of a target; NULL if it is refused
 */
static const char *
prepared(const char *target, bool *too_many)
{
	static char copy[1024];

	strcpy(copy, target);
	return TargetPrepare(copy, too_many) == NULL ? copy : NULL;
}

static void
test_forms(void)
{
	static const char *const good[][2] = {
		{"/", "/"},
		{"/a/b", "/a/b"},
		{"//a", "//a"},
		{"*", "*"},
		{"http://x/a", "/a"},
		{"HTTPS://x:443/a/b", "/a/b"},
		{"http://x", "/"},
		{"http://[::1]/a", "/a"},
		{"http://x//a", "//a"},
		{"/http://x/a", "/http://x/a"},
	};
	static const char *const bad[] = {"",			"a",		 "x:443",		 "ftp://x/a",
									  "http:/a",	"http:",	 "http://",		 "http:///a",
									  "http://:1/", "http://?a", "http://u@x/a", "http://u:p@x",
									  "**",			"*a",		 "?a",			 "http//x/a"};
	bool too_many;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		const char *target = prepared(good[i][0], &too_many);

		ok(target != NULL && strcmp(TargetPath(target), good[i][1]) == 0, "path of %s", good[i][0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(prepared(bad[i], &too_many) == NULL, "no target: \"%s\"", bad[i]);
}

static void
test_escapes(void)
{
	static const char *const paths[][2] = {
		{"/events", "/events"},
		{"/%65vents", "/events"},
		{"/%41%5a%61%7A%30%39%2d%2E%5f%7e", "/AZaz09-._~"},
		{"/events%2Fbulk", "/events%2Fbulk"},
		{"/events%2fbulk", "/events%2fbulk"},
		{"/a%20b+c%3F%23%25", "/a%20b+c%3F%23%25"},
		{"/%2565", "/%2565"},
		{"/%C3%A4", "/%C3%A4"},
	};
	static const char *const bad[] = {"/%",	   "/%4",	"/%%41",   "/%4g",	"/%g4",		  "/a%00",
									  "/?a=%", "/?%=a", "/?a=%00", "/?a%0", "http://x/%", "/%x41"};
	bool too_many;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		char copy[64];

		strcpy(copy, paths[i][0]);
		ok(TargetUnescapePath(copy) == strlen(paths[i][1]) && strcmp(copy, paths[i][1]) == 0,
		   "path %s", paths[i][0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(prepared(bad[i], &too_many) == NULL, "no escape: %s", bad[i]);
}

static void
test_parameters(void)
{
	static const char *const parameters[][2] = {
		{"/a?", "/a?"},
		{"/a?b", "/a?b"},
		{"/a?b=c&d=e", "/a?b=c&d=e"},
		{"/a?b=c&&d=e", "/a?b=c&d=e"},
		{"/a?&&b=c&", "/a?b=c"},
		{"/a?&", "/a?"},
		{"/a?=", "/a?="},
		{"/a?b=c?d&", "/a?b=c?d"},
		{"/a?b&&&c&", "/a?b&c"},
	};
	char many[1024] = "/a?b";
	bool too_many;

	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
	{
		const char *target = prepared(parameters[i][0], &too_many);

		ok(target != NULL && strcmp(target, parameters[i][1]) == 0 && !too_many, "parameters of %s",
		   parameters[i][0]);
	}
	for (int i = 1; i < TARGET_MAX_PARAMETERS; i++)
		strcat(many, "&&b");
	ok(prepared(many, &too_many) != NULL && !too_many, "as many as there may be");
	strcat(many, "&&b");
	ok(strcmp(prepared(many, &too_many), "/a?") == 0 && too_many, "one more: all are taken out");
	strcpy(many, "/a?b=c&d=%");
	ok(TargetPrepare(many, &too_many) != NULL && strcmp(many, "/a?") == 0,
	   "nothing is left of what is wrong");
}

int
main(void)
{
	test_forms();
	test_escapes();
	test_parameters();
	return tap_done();
}
