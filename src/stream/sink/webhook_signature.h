/*
 * webhook_signature.h
 *
 * Signatures as Standard Webhooks 1.0 has them: HMAC-SHA256 over id, time and body, with a
 * secret that both sides know.
 *
 * Links without a server.
 */
#ifndef FAST_INGEST_WEBHOOK_SIGNATURE_H
#define FAST_INGEST_WEBHOOK_SIGNATURE_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "base/text_slice.h"

/* While a secret is replaced by another, receivers know either one. */
#define WEBHOOK_MAX_SECRETS 4

/* Bytes of a secret. */
#define WEBHOOK_SECRET_MIN 24
#define WEBHOOK_SECRET_MAX 64

typedef struct
{
	int len;
	uint8 bytes[WEBHOOK_SECRET_MAX];
} WebhookSecret;

typedef struct
{
	int n;
	WebhookSecret secrets[WEBHOOK_MAX_SECRETS];
} WebhookSecrets;

/*
 * Read secrets, separated by blanks: each is "whsec_" and base64 of 24 to 64 bytes. Returns
 * NULL, or what is wrong, which has nothing of a secret in it.
 */
extern const char *WebhookSecretsRead(const char *text, WebhookSecrets *secrets);

/* "v1," and base64 of 32 bytes for each secret, separated by blanks, with the NUL */
#define WEBHOOK_SIGNATURE_SIZE (WEBHOOK_MAX_SECRETS * (3 + 44 + 1))

/*
 * Sign a body: what stands in webhook-signature. time is in Unix seconds. False if the library
 * that computes it fails.
 */
extern bool WebhookSign(const WebhookSecrets *secrets, const char *id, int64 time, Slice body,
						char *signature);

#endif
