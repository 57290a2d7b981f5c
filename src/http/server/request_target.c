/*
 * request_target.c
 *
 * A target is a path with parameters, an absolute URL, or "*" for the whole server. Every
 * server must accept absolute URLs; their host does not matter here. The target of CONNECT is
 * for proxies only.
 */
#include "http/server/request_target.h"

#include <string.h>
#include <strings.h>

const char *
TargetEnd(const char *target)
{
	const char *p = target;

	while ((unsigned char) *p > ' ' && *p != 0x7f)
		p++;
	return p > target && *p == '\0' ? p : NULL;
}

/*
 * The value of a hexadecimal digit, -1 if it is none
 */
static int
read_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Read the escape behind a %; returns its character, or -1 if it is no escape
 */
static int
read_escape(const char *p)
{
	int high = read_digit(p[0]);
	int low = high < 0 ? -1 : read_digit(p[1]);

	return low < 0 ? -1 : high * 16 + low;
}

/*
 * Check the escapes of a target. Returns what is wrong, or NULL
 */
static const char *
check_escapes(const char *target)
{
	for (const char *p = target; (p = strchr(p, '%')) != NULL; p++)
	{
		int c = read_escape(p + 1);

		if (c < 0)
			return "a % of the request's target is not followed by two hexadecimal digits";
		if (c == '\0')
			return "the request's target holds %00";
	}
	return NULL;
}

/*
 * Where the authority of an absolute URL begins; NULL if the target is not one
 */
static const char *
find_authority(const char *target)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncasecmp(target, schemes[i], strlen(schemes[i])) == 0)
			return target + strlen(schemes[i]);
	return NULL;
}

/*
 * Check the form of a target. Returns what is wrong, or NULL
 */
static const char *
check_form(const char *target)
{
	const char *authority;

	if (target[0] == '/' || strcmp(target, "*") == 0)
		return NULL;
	authority = find_authority(target);
	if (authority == NULL)
		return "the request's target is neither a path nor a URL of http or https";
	if (strcspn(authority, ":/?") == 0)
		return "the request's target names no host";
	if (memchr(authority, '@', strcspn(authority, "/?")) != NULL)
		return "the request's target names a user";
	return NULL;
}

/*
 * Remove empty parameters. Returns how many are left
 */
static int
remove_empty_parameters(char *parameters)
{
	char *out = parameters;
	int n = 0;

	for (const char *p = parameters; *p != '\0';)
	{
		size_t len = strcspn(p, "&");

		if (len > 0)
		{
			if (n++ > 0)
				*out++ = '&';
			memmove(out, p, len);
			out += len;
		}
		p += len;
		p += *p == '&';
	}
	*out = '\0';
	return n;
}

const char *
TargetPrepare(char *target, bool *too_many)
{
	char *parameters = strchr(target, '?');
	const char *wrong = check_form(target);

	if (wrong == NULL)
		wrong = check_escapes(target);
	*too_many = false;
	if (parameters == NULL)
		return wrong;
	*too_many = remove_empty_parameters(parameters + 1) > TARGET_MAX_PARAMETERS;
	/* libmicrohttpd misbehaves when it runs out of memory for parameters */
	if (*too_many || wrong != NULL)
		parameters[1] = '\0';
	return wrong;
}

/*
 * Is it a character that never needs an escape (RFC 3986, section 2.3)?
 */
static bool
is_unreserved(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		   c == '.' || c == '_' || c == '~';
}

size_t
TargetUnescapePath(char *path)
{
	char *out = path;

	for (const char *p = path; *p != '\0'; p++)
	{
		int c = *p == '%' ? read_escape(p + 1) : -1;

		if (is_unreserved(c))
		{
			*out++ = (char) c;
			p += 2;
		}
		else
			*out++ = *p;
	}
	*out = '\0';
	return (size_t) (out - path);
}

const char *
TargetPath(const char *target)
{
	const char *authority = find_authority(target);

	if (target[0] == '/' || authority == NULL)
		return target;
	authority += strcspn(authority, "/");
	return *authority == '/' ? authority : "/";
}
