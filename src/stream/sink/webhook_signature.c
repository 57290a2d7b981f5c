/*
 * webhook_signature.c
 *
 * Signatures of webhooks, by PostgreSQL's own HMAC and base64.
 */
#include "stream/sink/webhook_signature.h"

#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha2.h"

#define SECRET_PREFIX "whsec_"

/* Characters of base64 for the longest secret, with = at the end. */
#define BASE64_MAX (4 * ((WEBHOOK_SECRET_MAX + 2) / 3))

/*
 * Decode base64, at whose end = may be missing, as some write it. Returns the number of bytes,
 * which may be WEBHOOK_SECRET_MAX + 2, or -1.
 */
static int
decode_secret(const char *text, size_t len, uint8 *bytes)
{
	char padded[BASE64_MAX];
	int decoded;

	memcpy(padded, text, len);
	while (len % 4 != 0)
		padded[len++] = '=';
	decoded = pg_b64_decode(padded, (int) len, (void *) bytes, WEBHOOK_SECRET_MAX + 2);
	explicit_bzero(padded, sizeof(padded));
	return decoded;
}

/*
 * Read one secret. Returns NULL, or what is wrong with it.
 */
static const char *
read_secret(const char *text, size_t len, WebhookSecret *secret)
{
	const size_t prefix = strlen(SECRET_PREFIX);
	uint8 bytes[WEBHOOK_SECRET_MAX + 2];

	if (len < prefix || memcmp(text, SECRET_PREFIX, prefix) != 0)
		return "it does not begin with \"" SECRET_PREFIX "\"";
	if (len - prefix > BASE64_MAX)
		return "it has more than 64 bytes";
	secret->len = decode_secret(text + prefix, len - prefix, bytes);
	if (secret->len < 0)
		return "what follows \"" SECRET_PREFIX "\" is not base64";
	if (secret->len < WEBHOOK_SECRET_MIN)
		return "it has fewer than 24 bytes";
	if (secret->len > WEBHOOK_SECRET_MAX)
		return "it has more than 64 bytes";
	memcpy(secret->bytes, bytes, secret->len);
	explicit_bzero(bytes, sizeof(bytes));
	return NULL;
}

const char *
WebhookSecretsRead(const char *text, WebhookSecrets *secrets)
{
	secrets->n = 0;
	for (;;)
	{
		size_t len;
		const char *wrong;

		text += strspn(text, " \t\r\n");
		if (*text == '\0')
			break;
		len = strcspn(text, " \t\r\n");
		if (secrets->n == WEBHOOK_MAX_SECRETS)
			return "there are more than 4 secrets";
		wrong = read_secret(text, len, &secrets->secrets[secrets->n]);
		if (wrong != NULL)
			return wrong;
		secrets->n++;
		text += len;
	}
	return secrets->n == 0 ? "it is empty" : NULL;
}

static bool
compute_hmac(const WebhookSecret *secret, const Slice *pieces, int n, uint8 *digest)
{
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA256);
	bool done;

	if (context == NULL)
		return false;
	done = pg_hmac_init(context, secret->bytes, secret->len) >= 0;
	for (int i = 0; done && i < n; i++)
		done = pg_hmac_update(context, (const uint8 *) pieces[i].data, pieces[i].len) >= 0;
	done = done && pg_hmac_final(context, digest, PG_SHA256_DIGEST_LENGTH) >= 0;
	pg_hmac_free(context);
	return done;
}

bool
WebhookSign(const WebhookSecrets *secrets, const char *id, int64 time, Slice body, char *signature)
{
	char time_text[32];
	Slice pieces[] = {{id, strlen(id)}, {time_text, 0}, body};

	pieces[1].len = snprintf(time_text, sizeof(time_text), "." INT64_FORMAT ".", time);
	for (int i = 0; i < secrets->n; i++)
	{
		uint8 digest[PG_SHA256_DIGEST_LENGTH];
		int len;

		if (!compute_hmac(&secrets->secrets[i], pieces, lengthof(pieces), digest))
			return false;
		signature += sprintf(signature, "%sv1,", i > 0 ? " " : "");
		len = pg_b64_encode((const void *) digest, sizeof(digest), signature, 44);
		if (len < 0)
			return false;
		signature += len;
	}
	*signature = '\0';
	return true;
}
