/*
 * head_check_fuzz.c
 *
 * Fuzzes the checks of a request's head. The first byte of an input chooses the version of
 * libmicrohttpd that has left the head behind; the rest is the head.
 *
 * For any bytes: nothing beyond them is read or written. A head that passes consists of a
 * method, a target, a version and lines with a name. Blanks are moved only within lines of two
 * fields, and a second call moves none. A target that passes has no empty parameter, and its
 * path is unescaped as far as possible.
 */
#include "postgres_fe.h"

#include "http/server/head_check.h"
#include "http/server/request_target.h"

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_target(char *target)
{
	bool too_many;
	size_t len = strlen(target);
	const char *wrong = TargetPrepare(target, &too_many);
	char *parameters = strchr(target, '?');

	require(strlen(target) <= len);
	if (wrong != NULL || too_many)
		require(parameters == NULL || parameters[1] == '\0');
	if (wrong != NULL)
		return;
	if (parameters != NULL)
	{
		require(parameters[1] != '&' && strstr(parameters, "&&") == NULL);
		require(parameters[1] == '\0' || parameters[strlen(parameters) - 1] != '&');
		*parameters = '\0';
	}
	len = TargetUnescapePath(target);
	require(len == strlen(target));
	require(TargetPath(target) != NULL);
	require(strcmp(target, "*") == 0 || TargetPath(target)[0] == '/');
}

#define PAGE_SIZE 128

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * The bytes without blanks must be the same; a byte that has changed must be in a line of one
 * of the two fields
 */
static void
compare_heads(const char *before, const char *after, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
	{
		if (before[i] != after[i])
		{
			size_t line = i;

			while (line > 0 && before[line - 1] != '\n' && before[line - 1] != '\0')
				line--;
			require(pg_strncasecmp(before + line, "Content-Length:", 15) == 0 ||
					pg_strncasecmp(before + line, "Transfer-Encoding:", 18) == 0);
		}
		if (is_blank(before[i]))
			continue;
		while (n < size && is_blank(after[n]))
			n++;
		require(n < size && before[i] == after[n]);
		n++;
	}
	while (n < size)
		require(is_blank(after[n++]));
}

/*
 * Move blanks in whole pages that hold the bytes, and NULs behind them
 */
static void
check_moving(const uint8_t *data, size_t size)
{
	size_t room = (size + PAGE_SIZE) / PAGE_SIZE * PAGE_SIZE;
	char *pages = aligned_alloc(PAGE_SIZE, room);
	char *before = malloc(room);
	char *target;
	const char *target_end;

	if (pages == NULL || before == NULL)
		abort();
	memset(pages, 0, room);
	memcpy(pages, data, size);
	memcpy(before, pages, room);
	target = pages + strlen(pages) + 1;
	target_end = target < pages + room && memchr(target, '\0', pages + room - target) != NULL
					 ? TargetEnd(target)
					 : NULL;
	/* only then libmicrohttpd would have read a version, with a NUL behind it */
	if (target_end != NULL && target_end + 1 + 8 < pages + room)
	{
		HeadMoveBlanks(target, target_end, PAGE_SIZE);
		compare_heads(before, pages, room);
		memcpy(before, pages, room);
		HeadMoveBlanks(target, target_end, PAGE_SIZE);
		require(memcmp(before, pages, room) == 0);
	}
	free(before);
	free(pages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	HeadRemains remains;
	HeadFraming framing = {0};
	char *head;
	char *target;
	const char *version;
	const char *target_end;

	if (size < 1)
		return 0;
	remains = data[0] % 3;
	size--;
	check_moving(data + 1, size);
	/* libmicrohttpd hands over a method, a target and a version, each with a NUL behind it */
	if ((head = malloc(size + 1)) == NULL)
		return 0;
	memcpy(head, data + 1, size);
	head[size] = '\0';
	target = memchr(head, '\0', size);
	version = target == NULL ? NULL : memchr(target + 1, '\0', head + size - (target + 1));
	if (version != NULL && memchr(version + 1, '\0', head + size - (version + 1)) != NULL)
	{
		target++;
		version++;
		target_end = TargetEnd(target);
		if (HeadCheck(remains, head, target, target_end, version, size) == NULL)
		{
			require(remains != HEAD_UNKNOWN && target_end != NULL);
			require(head[0] != '\0' && version + 10 <= head + size);
			require(memchr(version + 10, '\x01', head + size - (version + 10)) == NULL);
		}
		check_target(target);
	}
	free(head);

	/* the bytes as a field: a name and a value */
	if ((head = malloc(size + 2)) == NULL)
		return 0;
	memcpy(head, data + 1, size);
	head[size] = head[size + 1] = '\0';
	target = head + strlen(head) + 1;
	if (target > head + size + 1)
		target = head + size + 1;
	HeadNoteField(&framing, head, target);
	require(target[0] == '\0' || strchr(" \t", target[strlen(target) - 1]) == NULL);
	(void) HeadCheckFraming(&framing, "HTTP/1.1");
	free(head);
	return 0;
}
