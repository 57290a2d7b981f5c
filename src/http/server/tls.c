/*
 * tls.c
 *
 * Loads a certificate and its key, and counts the connections that use them.
 *
 * GnuTLS reads both files and checks that they belong together before the old identity is
 * replaced. Others must not be able to read the key's file; the rule is that of PostgreSQL's
 * ssl_key_file. Copies of the key are overwritten before they are freed.
 */
#include "postgres.h"

#include "http/server/tls.h"

#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/settings.h"

/* TLS 1.2 with forward secrecy, and TLS 1.3 */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:%SERVER_PRECEDENCE"

#define MAX_FILE_SIZE (1024 * 1024)

/* The longest handshake message of a client, in bytes. GnuTLS's default is 128 kB. */
#define MAX_HANDSHAKE_MESSAGE (16 * 1024)

struct TlsIdentity
{
	gnutls_certificate_credentials_t credentials;
	char *certificate; /* the text of its file, malloc'ed */
	int users;		   /* connections, plus 1 for the current identity */
};

/* The content of a file, with a NUL behind it. */
typedef struct
{
	char *data; /* malloc'ed */
	size_t len;
} FileText;

static TlsIdentity *current = NULL; /* for new connections */

/*
 * Callback: libmicrohttpd requires one. GnuTLS calls it for sessions without an identity, and
 * there is none to offer.
 */
static int
offer_no_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
					 gnutls_pcert_st **certificates, unsigned int *n, gnutls_ocsp_data_st **ocsp,
					 unsigned int *ocsp_n, gnutls_privkey_t *key, unsigned int *flags)
{
	return -1;
}

struct MHD_OptionItem *
TlsOptions(void)
{
	static struct MHD_OptionItem options[] = {
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) PRIORITIES},
		{MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *) offer_no_certificate},
		{MHD_OPTION_END, 0, NULL},
	};

	return options;
}

/*
 * Overwrite and free the content of a file
 */
static void
wipe_text(FileText *text)
{
	if (text->data != NULL)
		explicit_bzero(text->data, text->len);
	free(text->data);
	text->data = NULL;
}

/*
 * Check the owner and mode of a private key's file. Returns what is wrong, or NULL
 */
static const char *
check_permissions(const struct stat *file)
{
	if (file->st_uid != geteuid() && file->st_uid != 0)
		return "it must belong to the server's user or to root";
	if (file->st_uid == 0 ? (file->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0
						  : (file->st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return "others may read it: expected mode 0600, or 0640 if it belongs to root";
	return NULL;
}

/*
 * Read an open file. Returns what is wrong, or NULL
 */
static const char *
read_open_file(int fd, bool secret, FileText *text)
{
	struct stat file;
	const char *wrong;

	if (fstat(fd, &file) != 0)
		return strerror(errno);
	if (!S_ISREG(file.st_mode))
		return "it is not a regular file";
	wrong = secret ? check_permissions(&file) : NULL;
	if (wrong != NULL)
		return wrong;
	if (file.st_size > MAX_FILE_SIZE)
		return "it is too large";
	text->len = file.st_size;
	text->data = calloc(1, text->len + 1);
	if (text->data == NULL)
		return "out of memory";
	for (size_t done = 0; done < text->len;)
	{
		ssize_t n = read(fd, text->data + done, text->len - done);

		if (n < 0)
			return strerror(errno);
		if (n == 0)
			return "it changed while it was read";
		done += n;
	}
	return NULL;
}

/*
 * Read a file. A relative path starts at the data directory, which is the current directory of
 * every process of the server. On failure text is empty and error has a message.
 */
static bool
read_file(const char *what, const char *path, bool secret, FileText *text, char *error,
		  size_t error_size)
{
	/* O_NONBLOCK: a pipe in place of the file must not make us wait */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	const char *wrong = fd < 0 ? strerror(errno) : read_open_file(fd, secret, text);

	if (fd >= 0)
		close(fd);
	if (wrong == NULL)
		return true;
	wipe_text(text);
	snprintf(error, error_size, "could not load the %s \"%s\": %s", what, path, wrong);
	return false;
}

/*
 * Make credentials of the files' contents. Returns what is wrong with the file named in culprit,
 * or NULL
 */
static const char *
make_credentials(const FileText *certificate, const FileText *key,
				 gnutls_certificate_credentials_t credentials, const char **culprit)
{
	gnutls_datum_t certificate_datum = {(unsigned char *) certificate->data, certificate->len};
	gnutls_datum_t key_datum = {(unsigned char *) key->data, key->len};
	gnutls_x509_crt_t *chain = NULL;
	gnutls_x509_privkey_t private = NULL;
	unsigned int n = 0;
	int result;
	const char *wrong = NULL;

	*culprit = fi_ssl_cert_file;
	result = gnutls_x509_crt_list_import2(&chain, &n, &certificate_datum, GNUTLS_X509_FMT_PEM, 0);
	if (result >= 0)
	{
		*culprit = fi_ssl_key_file;
		result = gnutls_x509_privkey_init(&private);
	}
	if (result >= 0)
	{
		result = gnutls_x509_privkey_import2(private, &key_datum, GNUTLS_X509_FMT_PEM, NULL, 0);
		if (result < 0 && strstr(key->data, "ENCRYPTED") != NULL)
			wrong = "it is protected by a passphrase";
	}
	if (result >= 0)
	{
		result = gnutls_certificate_set_x509_key(credentials, chain, n, private);
		if (result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
			wrong = "it is not the key of the certificate";
	}
	if (result < 0 && wrong == NULL)
		wrong = gnutls_strerror(result);

	for (unsigned int i = 0; i < n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	if (private != NULL)
		gnutls_x509_privkey_deinit(private);
	return wrong;
}

static void
free_identity(TlsIdentity *identity)
{
	if (identity->credentials != NULL)
		gnutls_certificate_free_credentials(identity->credentials);
	free(identity->certificate);
	free(identity);
}

/*
 * Log which certificate was loaded. A certificate that has expired is used nonetheless: clients
 * that do not check it can still send.
 */
static void
log_identity(TlsIdentity *identity)
{
	gnutls_x509_crt_t *chain = NULL;
	unsigned int n = 0;
	time_t end;
	struct tm utc;
	char text[32] = "?";

	if (gnutls_certificate_get_x509_crt(identity->credentials, 0, &chain, &n) < 0 || n == 0)
		return;
	end = gnutls_x509_crt_get_expiration_time(chain[0]);
	if (gmtime_r(&end, &utc) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
	for (unsigned int i = 0; i < n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	if (end < time(NULL))
		ereport(WARNING,
				(errmsg("fast_ingest has loaded the certificate \"%s\", which expired on %s",
						fi_ssl_cert_file, text)));
	else
		ereport(LOG, (errmsg("fast_ingest has loaded the certificate \"%s\", valid until %s",
							 fi_ssl_cert_file, text)));
}

/*
 * Make an identity of the files; NULL with a message in error on failure
 */
static TlsIdentity *
load_identity(char *error, size_t error_size)
{
	FileText certificate = {0};
	FileText key = {0};
	TlsIdentity *identity = NULL;
	const char *culprit = fi_ssl_cert_file;
	const char *wrong = "out of memory";

	if (!read_file("certificate", fi_ssl_cert_file, false, &certificate, error, error_size))
		return NULL;
	if (!read_file("private key", fi_ssl_key_file, true, &key, error, error_size))
	{
		wipe_text(&certificate);
		return NULL;
	}
	identity = calloc(1, sizeof(TlsIdentity));
	if (identity != NULL &&
		gnutls_certificate_allocate_credentials(&identity->credentials) == GNUTLS_E_SUCCESS)
		wrong = make_credentials(&certificate, &key, identity->credentials, &culprit);
	wipe_text(&key);
	if (wrong == NULL)
	{
		identity->certificate = certificate.data;
		identity->users = 1;
		return identity;
	}
	snprintf(error, error_size, "could not load the %s \"%s\": %s",
			 culprit == fi_ssl_cert_file ? "certificate" : "private key", culprit, wrong);
	wipe_text(&certificate);
	if (identity != NULL)
		free_identity(identity);
	return NULL;
}

bool
TlsLoad(char *error, size_t error_size)
{
	TlsIdentity *old = current;
	TlsIdentity *loaded = load_identity(error, error_size);

	if (loaded == NULL)
		return false;
	current = loaded;
	if (old == NULL || strcmp(old->certificate, loaded->certificate) != 0)
		log_identity(loaded);
	if (old != NULL)
		TlsLeave(old);
	return true;
}

bool
TlsLoaded(void)
{
	return current != NULL;
}

TlsIdentity *
TlsEnter(struct gnutls_session_int *session)
{
	gnutls_handshake_set_max_packet_length(session, MAX_HANDSHAKE_MESSAGE);
	if (current == NULL || gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
												  current->credentials) != GNUTLS_E_SUCCESS)
		return NULL;
	current->users++;
	return current;
}

void
TlsGoodbye(struct gnutls_session_int *session)
{
	(void) gnutls_bye(session, GNUTLS_SHUT_WR);
}

void
TlsLeave(TlsIdentity *identity)
{
	if (identity != NULL && --identity->users == 0)
		free_identity(identity);
}
