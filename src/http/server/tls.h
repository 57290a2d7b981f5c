/*
 * tls.h
 *
 * What connections to fast_ingest.ssl_port show and sign with: a certificate and its
 * key, of the files that fast_ingest.ssl_cert_file and ssl_key_file name. They stay in
 * the memory of the listener. A connection keeps those it was opened with.
 */
#ifndef FAST_INGEST_TLS_H
#define FAST_INGEST_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct MHD_OptionItem;
struct gnutls_session_int;

typedef struct TlsIdentity TlsIdentity;

/* For the daemon of libmicrohttpd whose connections these are. */
extern struct MHD_OptionItem *TlsOptions(void);

/*
 * Load certificate and key for the connections to come. False leaves everything as it
 * is, and says in error which file is wrong, and how. Logs a certificate that it had not
 * loaded before.
 */
extern bool TlsLoad(char *error, size_t error_size);

/* Has TlsLoad ever succeeded? */
extern bool TlsLoaded(void);

/* Lend a session what was loaded last, until it has ended; NULL if there is nothing. */
extern TlsIdentity *TlsEnter(struct gnutls_session_int *session);
extern void TlsLeave(TlsIdentity *identity);

/* Tell a client whose handshake is done that nothing follows; never waits. */
extern void TlsGoodbye(struct gnutls_session_int *session);

#endif
