/*
 * head_fuzz.c
 *
 * Fuzzes the head of a request. The first byte of an input chooses which libmicrohttpd has
 * left it behind; the rest are its bytes.
 *
 * What must hold for any bytes: nothing is read or written beyond them; a head that is found
 * right is made of a method, a target, a version and lines with a name each; a target that is
 * found right has no empty parameter, and its path is unescaped as far as that can go.
 */
#include "postgres_fe.h"

#include "http/head.h"
#include "http/target.h"

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
	/* libmicrohttpd hands over a method, a target and a version, each with a NUL */
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

	/* a name and a value */
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
