/*
 * user_secret.h
 *
 * The database's secret, fast_ingest.secret. User_ids are hashed together with it.
 */
#ifndef FAST_INGEST_USER_SECRET_H
#define FAST_INGEST_USER_SECRET_H

#define USER_SECRET_SIZE 32

/*
 * The secret, USER_SECRET_SIZE bytes, whatever rights the current user has; valid until the
 * next call. An ERROR (55000) if there is none. Needs a transaction.
 */
extern const uint8 *UserSecret(void);

#endif
