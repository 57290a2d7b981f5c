/*
 * user_secret.h
 *
 * The database's secret, fast_ingest.secret, which user_ids are hashed with.
 */
#ifndef FAST_INGEST_USER_SECRET_H
#define FAST_INGEST_USER_SECRET_H

#define USER_SECRET_SIZE 32

/*
 * The secret, whoever asks for it; valid until the next call. An ERROR if there is
 * none. Needs a transaction.
 */
extern const uint8 *UserSecret(void);

#endif
