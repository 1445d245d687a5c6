// HTTP: requests and responses, to be sent or received.
//
// Those that a server has lent, with their connection, are its caller's until they are answered: they are looked at under the
// server's lock, which may take them back.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

nngio_http_message *
http_message_new(void)
{
	nngio_http_message *m = calloc(1, sizeof(*m));

	if (m != NULL) {
		atomic_init(&m->refs, 1);
	}
	return (m);
}

nngio_http_message *
nngio_http_request(int *error)
{
	nngio_http_message *m = NULL;

	if ((*error = nngio_init()) != 0) {
		return (NULL);
	}
	*error = NNG_ENOMEM;
	if ((m = http_message_new()) != NULL && (*error = nng_http_req_alloc(&m->req, NULL)) != 0) {
		nngio_http_message_free(m);
		m = NULL;
	}
	return (m);
}

// With NNG's page for an error, when `status` isn't 0.
nngio_http_message *
nngio_http_response(uint16_t status, int *error)
{
	nngio_http_message *m = NULL;

	if ((*error = nngio_init()) != 0) {
		return (NULL);
	}
	*error = NNG_ENOMEM;
	if ((m = http_message_new()) != NULL &&
	    (*error = status != 0 ? nng_http_res_alloc_error(&m->res, status) : nng_http_res_alloc(&m->res)) != 0) {
		nngio_http_message_free(m);
		m = NULL;
	}
	return (m);
}

void
http_message_hold(nngio_http_message *m)
{
	atomic_fetch_add(&m->refs, 1);
}

// Memory alone, so it is right in a forked child, too.
void
nngio_http_message_free(nngio_http_message *m)
{
	if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	if (m->req != NULL) {
		nng_http_req_free(m->req);
	}
	if (m->res != NULL) {
		nng_http_res_free(m->res);
	}
	if (m->server != NULL) {
		http_server_rele(m->server);
	}
	free(m);
}

void
http_message_lock(nngio_http_message *m)
{
	if (m->server != NULL) {
		pthread_mutex_lock(&m->server->lock);
	}
}

void
http_message_unlock(nngio_http_message *m)
{
	if (m->server != NULL) {
		pthread_mutex_unlock(&m->server->lock);
	}
}

// NNG's own, which lists the headers; its public functions find one by its name.  A system's library doesn't have them.
#ifdef __linux__
extern char *nni_http_req_headers(nng_http_req *) __attribute__((weak));
extern char *nni_http_res_headers(nng_http_res *) __attribute__((weak));
#define HEADERS_OF(kind, x) (nni_http_##kind##_headers != NULL ? nni_http_##kind##_headers(x) : NULL)
#else
#define HEADERS_OF(kind, x) ((char *) NULL)
#endif

// Of no headers at all NNG makes a text without an end.  So there is one more, which can't have been received, and is cut off again.
#define MARK ":"
#define MARK_LINE_LEN 5 // ":: \r\n", the last line

static char *
all_headers(nng_http_req *req, nng_http_res *res)
{
	char  *own = NULL, *text = NULL;
	size_t len;

	if ((req != NULL ? nng_http_req_set_header(req, MARK, "") : nng_http_res_set_header(res, MARK, "")) != 0) {
		return (NULL);
	}
	own = req != NULL ? HEADERS_OF(req, req) : HEADERS_OF(res, res);
	(void) (req != NULL ? nng_http_req_del_header(req, MARK) : nng_http_res_del_header(res, MARK));
	if (own != NULL) {
		if ((len = strlen(own)) >= MARK_LINE_LEN) {
			text = strndup(own, len - MARK_LINE_LEN);
		}
		nng_strfree(own);
	}
	return (text);
}

// A copy of one of its texts, to be freed with nngio_http_text_free.  NULL: there is no such header, NNG doesn't tell, no
// memory; or the message was answered, and NNG has taken the request back.
char *
nngio_http_text(nngio_http_message *m, int which, const char *name)
{
	nng_http_req *req;
	nng_http_res *res  = m->res;
	const char   *text = NULL;
	char         *copy;

	if (m->server != NULL && nngio_forked()) {
		return (NULL);
	}
	http_message_lock(m);
	req = m->lent != NULL ? m->lent : m->req;
	if (req == NULL && res == NULL) {
		which = -1;
	}
	if (which == NNGIO_HTTP_HEADERS) {
		copy = all_headers(req, res);
		http_message_unlock(m);
		return (copy);
	}
	switch (which) {
	case NNGIO_HTTP_METHOD:
		text = nng_http_req_get_method(req);
		break;
	case NNGIO_HTTP_URI:
		text = nng_http_req_get_uri(req);
		break;
	case NNGIO_HTTP_VERSION:
		text = req != NULL ? nng_http_req_get_version(req) : nng_http_res_get_version(res);
		break;
	case NNGIO_HTTP_REASON:
		text = nng_http_res_get_reason(res);
		break;
	case NNGIO_HTTP_HEADER:
		text = req != NULL ? nng_http_req_get_header(req, name) : nng_http_res_get_header(res, name);
		break;
	}
	copy = text != NULL ? strdup(text) : NULL;
	http_message_unlock(m);
	return (copy);
}

void
nngio_http_text_free(void *text)
{
	free(text);
}

// A copy of the body; NULL when it is empty, without memory, and as above.
void *
nngio_http_body(nngio_http_message *m, size_t *size)
{
	nng_http_req *req;
	void         *data = NULL, *copy = NULL;

	*size = 0;
	if (m->server != NULL && nngio_forked()) {
		return (NULL);
	}
	http_message_lock(m);
	if ((req = m->lent != NULL ? m->lent : m->req) != NULL) {
		nng_http_req_get_data(req, &data, size);
	} else if (m->res != NULL) {
		nng_http_res_get_data(m->res, &data, size);
	}
	if (data == NULL) {
		*size = 0;
	} else if (*size != 0 && (copy = malloc(*size)) != NULL) {
		memcpy(copy, data, *size);
	}
	http_message_unlock(m);
	return (copy);
}
