/*
 * tls.h
 *
 * The identity of the listener for TLS: the certificate and the private key of the files
 * that fast_ingest.ssl_cert_file and fast_ingest.ssl_key_file name. They stay in the
 * listener's memory. A connection keeps the identity that it was opened with.
 */
#ifndef FAST_INGEST_TLS_H
#define FAST_INGEST_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct MHD_OptionItem;
struct gnutls_session_int;

typedef struct TlsIdentity TlsIdentity;

/* The options of the libmicrohttpd daemon that serves TLS. */
extern struct MHD_OptionItem *TlsOptions(void);

/*
 * Load certificate and key for new connections, and log the certificate if it is a new one.
 * If that fails, the identity stays as it is: false, and error says which file is wrong, and
 * how.
 */
extern bool TlsLoad(char *error, size_t error_size);

/* Has TlsLoad ever succeeded? */
extern bool TlsLoaded(void);

/*
 * Give a session the current identity; NULL if none is loaded, or GnuTLS does not take it.
 * TlsLeave must be called with the identity when the session has ended; it does nothing for NULL.
 */
extern TlsIdentity *TlsEnter(struct gnutls_session_int *session);
extern void TlsLeave(TlsIdentity *identity);

/* Tell a client, whose handshake must be done, that nothing follows. Never waits. */
extern void TlsGoodbye(struct gnutls_session_int *session);

#endif
