/*
 * webhook_signature_test.c
 *
 * Signatures of Standard Webhooks, and which secrets are taken.
 */
#include "postgres_fe.h"

#include "stream/sink/webhook_signature.h"
#include "tap.h"

static Slice
slice(const char *text)
{
	return (Slice){text, strlen(text)};
}

static void
is_signature(const char *secret, const char *body, const char *expected, const char *name)
{
	WebhookSecrets secrets;
	char signature[WEBHOOK_SIGNATURE_SIZE] = "";

	ok(WebhookSecretsRead(secret, &secrets) == NULL &&
		   WebhookSign(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, slice(body),
					   signature) &&
		   strcmp(signature, expected) == 0,
	   "%s (%s)", name, signature);
}

static void
is_wrong(const char *secret, const char *expected)
{
	WebhookSecrets secrets;
	const char *wrong = WebhookSecretsRead(secret, &secrets);

	ok(wrong != NULL && strcmp(wrong, expected) == 0, "%s", expected);
}

/*
 * "whsec_" and base64 of so many bytes
 */
static const char *
make_secret(int bytes)
{
	static char text[512];
	int len = strlen(strcpy(text, "whsec_"));

	for (int i = 0; i < bytes / 3 * 4; i++)
		text[len++] = "MfKQ"[i % 4];
	if (bytes % 3 > 0)
		len += sprintf(text + len, "%s", bytes % 3 == 1 ? "MA==" : "MfI=");
	text[len] = '\0';
	return text;
}

int
main(void)
{
	/* the example of the specification and of its libraries' tests */
	static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
	static const char body[] = "{\"test\": 2432232314}";
	static const char signed_body[] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
	WebhookSecrets secrets;
	char two[WEBHOOK_SIGNATURE_SIZE];

	is_signature(secret, body, signed_body, "the example of Standard Webhooks");
	is_signature(" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", body, signed_body,
				 "a secret as it stands in a file");
	snprintf(two, sizeof(two), "%s %s", signed_body, signed_body);
	is_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
				 body, two, "two secrets make two signatures");

	for (int bytes = WEBHOOK_SECRET_MIN; bytes <= WEBHOOK_SECRET_MAX; bytes++)
	{
		char unpadded[512];

		strcpy(unpadded, make_secret(bytes));
		*strchrnul(unpadded, '=') = '\0';
		ok(WebhookSecretsRead(make_secret(bytes), &secrets) == NULL && secrets.n == 1 &&
			   secrets.secrets[0].len == bytes && WebhookSecretsRead(unpadded, &secrets) == NULL &&
			   secrets.secrets[0].len == bytes,
		   "a secret of %d bytes, with and without = at its end", bytes);
	}

	is_wrong("", "it is empty");
	is_wrong(" ", "it is empty");
	is_wrong("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "it does not begin with \"whsec_\"");
	is_wrong("whsec_", "it has fewer than 24 bytes");
	is_wrong(make_secret(WEBHOOK_SECRET_MIN - 1), "it has fewer than 24 bytes");
	is_wrong(make_secret(WEBHOOK_SECRET_MAX + 1), "it has more than 64 bytes");
	is_wrong(make_secret(WEBHOOK_SECRET_MAX + 2), "it has more than 64 bytes");
	is_wrong(make_secret(WEBHOOK_SECRET_MAX + 3), "it has more than 64 bytes");
	is_wrong("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS*", "what follows \"whsec_\" is not base64");
	is_wrong("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwM", "what follows \"whsec_\" is not base64");
	is_wrong("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw "
			 "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw "
			 "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
			 "there are more than 4 secrets");
	return tap_done();
}
