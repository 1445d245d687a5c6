// HTTP: NNG's server, with handlers in Python.
//
// Theory of operation.  NNG calls a handler on a thread of its own, with an aio that it waits for.  For one in
// Python that is put into a message, and this into the list of those that the callback thread takes.  A message is
// answered once: by Python, or with the end of its server, whichever comes first under the server's lock; what NNG lends us of
// the request is not looked at after that.  Closing answers them all before NNG is told to stop, as NNG waits for them.
//
// Locks.  NNG is called under a server's lock to take over a connection; its callbacks come with no lock of NNG's but for the
// destructor of a handler, which takes none of ours.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct nngio_http_handler {
	atomic_uint          refs;   // Python's, the server's, and that of NNG's handler
	nngio_http_server   *server; // held; set before NNG knows the handler
	nng_http_handler    *c;
	nngio_http_handler  *next; // of its server's
	uint64_t             tag;
	bool                 added;
	atomic_bool          removed;
	char                *type; // of fixed content; else it is Python's
	size_t               size;
	char                 data[];
};

static pthread_mutex_t     waiting_lock = PTHREAD_MUTEX_INITIALIZER;
static nngio_http_message *waiting_first, **waiting_last = &waiting_first; // for Python, each held
static nngio_queue        *waiting_queue;

static void
server_hold(nngio_http_server *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
http_server_rele(nngio_http_server *s)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
		pthread_mutex_destroy(&s->lock);
		pthread_mutex_destroy(&s->calls);
		free(s);
	}
}

// Python's reference, the server's, or NNG's: this is the destructor of NNG's handler, too.
static void
handler_rele(void *arg)
{
	nngio_http_handler *h = arg;

	if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1) {
		if (h->server != NULL) {
			http_server_rele(h->server);
		}
		free(h->type);
		free(h);
	}
}

// Answers NNG with a response, which is NNG's then, or with an error, which ends the connection.
static void
answer_nng(nng_aio *aio, nng_http_res *res, int rv)
{
	if (rv == 0) {
		nng_aio_set_output(aio, 0, res);
	}
	nng_aio_finish(aio, rv);
}

static void
serve_fixed(nngio_http_handler *h, nng_aio *aio)
{
	nng_http_res *res = NULL;
	int           rv;

	if ((rv = nng_http_res_alloc(&res)) == 0 &&
	    ((rv = nng_http_res_set_header(res, "Content-Type", h->type)) != 0 ||
	        (rv = h->size != 0 ? nng_http_res_copy_data(res, h->data, h->size) :
	                             nng_http_res_set_data(res, NULL, 0)) != 0)) {
		nng_http_res_free(res);
	}
	answer_nng(aio, res, rv);
}

// Answers with an error, and with the end of the connection.
static void
refuse(nng_aio *aio, uint16_t status)
{
	nng_http_res *res = NULL;
	int           rv;

	if ((rv = nng_http_res_alloc_error(&res, status)) == 0 &&
	    (rv = nng_http_res_set_header(res, "Connection", "close")) != 0) {
		nng_http_res_free(res);
	}
	answer_nng(aio, res, rv);
}

static void
unlink_call(nngio_http_message *m)
{
	if ((*m->call_link = m->call_next) != NULL) {
		m->call_next->call_link = m->call_link;
	}
	m->aio  = NULL;
	m->lent = NULL;
	m->conn = NULL;
}

// Puts a call where Python finds it, and calls Python.
static void
enqueue(nngio_http_message *m)
{
	pthread_mutex_lock(&waiting_lock);
	m->waiting_next = NULL;
	*waiting_last   = m;
	waiting_last    = &m->waiting_next;
	nngio_queue_wake(waiting_queue);
	pthread_mutex_unlock(&waiting_lock);
}

// What NNG calls for a request, on a task thread, without a lock.
static void
handle(nng_aio *aio)
{
	nng_http_req       *req = nng_aio_get_input(aio, 0);
	nngio_http_handler *h   = nng_http_handler_get_data(nng_aio_get_input(aio, 1));
	nngio_http_server  *s   = h->server;
	nngio_http_message *m;

	if (nng_http_req_get_header(req, "Transfer-Encoding") != NULL) {
		// NNG can't read such a body, and would take it for the next request.
		refuse(aio, NNG_HTTP_STATUS_LENGTH_REQUIRED);
		return;
	}
	if (atomic_load(&h->removed) || !atomic_load(&s->started)) { // NNG has one server for all at the same URL
		refuse(aio, NNG_HTTP_STATUS_NOT_FOUND);
		return;
	}
	if (h->type != NULL) {
		serve_fixed(h, aio);
		return;
	}
	if ((m = http_message_new()) == NULL) {
		nng_aio_finish(aio, NNG_ENOMEM);
		return;
	}
	m->tag    = h->tag;
	m->server = s;
	server_hold(s);
	pthread_mutex_lock(&s->lock);
	if (s->closed) {
		pthread_mutex_unlock(&s->lock);
		nngio_http_message_free(m);
		nng_aio_finish(aio, NNG_ECLOSED);
		return;
	}
	m->aio       = aio;
	m->lent      = req;
	m->conn      = nng_aio_get_input(aio, 2);
	m->call_link = &s->unanswered;
	if ((m->call_next = s->unanswered) != NULL) {
		m->call_next->call_link = &m->call_next;
	}
	s->unanswered = m; // not a reference: it is unlinked before it is freed
	pthread_mutex_unlock(&s->lock);
	enqueue(m);
}

// Names the queue of the thread that calls nngio_http_next; the first one counts.
void
nngio_http_wakes(nngio_queue *q)
{
	pthread_mutex_lock(&waiting_lock);
	if (waiting_queue == NULL) {
		queue_hold(q);
		waiting_queue = q;
	}
	pthread_mutex_unlock(&waiting_lock);
}

// The next call for Python, which has to give it back with nngio_http_call_end; NULL if there is none.
nngio_http_message *
nngio_http_next(uint64_t *tag)
{
	nngio_http_message *m;
	bool                over;

	if (nngio_forked()) {
		return (NULL);
	}
	for (;;) {
		pthread_mutex_lock(&waiting_lock);
		if ((m = waiting_first) != NULL && (waiting_first = m->waiting_next) == NULL) {
			waiting_last = &waiting_first;
		}
		pthread_mutex_unlock(&waiting_lock);
		if (m == NULL) {
			return (NULL);
		}
		http_message_lock(m);
		over = m->aio == NULL;
		http_message_unlock(m);
		if (!over) {
			*tag = m->tag;
			return (m);
		}
		nngio_http_message_free(m);
	}
}

// Whether it was answered, by the end of its server perhaps.
bool
nngio_http_answered(nngio_http_message *m)
{
	bool over;

	http_message_lock(m);
	over = m->aio == NULL;
	http_message_unlock(m);
	return (over);
}

// Answers a call with a response, which it is taken out of.  NNG_ECLOSED when it was answered before.
int
nngio_http_answer(nngio_http_message *m, nngio_http_message *response)
{
	nng_aio *aio;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	http_message_lock(m);
	if ((aio = m->aio) != NULL) {
		unlink_call(m);
		answer_nng(aio, response->res, 0); // under the lock: before its server stops, which need not wait for it
		response->res = NULL;
	}
	http_message_unlock(m);
	return (aio != NULL ? 0 : NNG_ECLOSED);
}

// Takes over a call's connection, and its request.  NULL and a code when it was answered before.
nngio_http *
nngio_http_take_over(nngio_http_message *m, int *error)
{
	nngio_http *h;
	nng_aio    *aio;

	if (nngio_forked()) {
		*error = NNGIO_FORKED;
		return (NULL);
	}
	if ((h = http_new()) == NULL) {
		*error = NNG_ENOMEM;
		return (NULL);
	}
	http_message_lock(m);
	if ((aio = m->aio) != NULL && (*error = nng_http_hijack(m->conn)) == 0) {
		h->conn = m->conn;
		m->req  = m->lent; // NNG leaves us both
		unlink_call(m);
		nng_aio_finish(aio, 0);
	}
	http_message_unlock(m);
	if (h->conn == NULL) {
		*error    = aio == NULL ? NNG_ECLOSED : *error;
		h->closed = true;
		http_rele(h);
		return (NULL);
	}
	return (h);
}

// The end of a call that nngio_http_next has returned.  One that was not answered loses its connection.
void
nngio_http_call_end(nngio_http_message *m)
{
	nng_aio *aio;

	if (m == NULL || nngio_forked()) {
		return;
	}
	http_message_lock(m);
	if ((aio = m->aio) != NULL) {
		unlink_call(m);
		nng_aio_finish(aio, NNG_ECANCELED);
	}
	http_message_unlock(m);
	nngio_http_message_free(m);
}

nngio_http_server *
nngio_http_server_new(const char *text, int *error)
{
	nngio_http_server *s;
	nng_url           *url;

	if (http_parse_url(text, &url, error) != 0) {
		return (NULL);
	}
	*error = NNG_ENOMEM;
	if ((s = calloc(1, sizeof(*s))) != NULL && (*error = nng_http_server_hold(&s->c, url)) != 0) {
		free(s);
		s = NULL;
	}
	nng_url_free(url);
	if (s != NULL) {
		atomic_init(&s->refs, 1);
		pthread_mutex_init(&s->lock, NULL);
		pthread_mutex_init(&s->calls, NULL);
	}
	return (s);
}

// Brackets calls of Python's into NNG, which are made one at a time.
static int
server_enter(nngio_http_server *s)
{
	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	pthread_mutex_lock(&s->calls);
	if (s->closed) {
		pthread_mutex_unlock(&s->calls);
		stay_if_ending();
		return (NNG_ECLOSED);
	}
	return (0);
}

static int
server_leave(nngio_http_server *s, int rv)
{
	pthread_mutex_unlock(&s->calls);
	return (rv);
}

int
nngio_http_server_start(nngio_http_server *s)
{
	int rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	if (!atomic_exchange(&s->started, true) && (rv = nng_http_server_start(s->c)) != 0) {
		atomic_store(&s->started, false);
	}
	return (server_leave(s, rv));
}

int
nngio_http_server_address(nngio_http_server *s, nng_sockaddr *sa)
{
	int rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	return (server_leave(s, nng_http_server_get_addr(s->c, sa)));
}

// NNG_ENOTSUP without TLS.
int
nngio_http_server_tls(nngio_http_server *s, nng_tls_config *config)
{
	nng_tls_config *had = NULL;
	int             rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	if (config != NULL) {
		rv = nng_http_server_set_tls(s->c, config);
	} else if ((rv = nng_http_server_get_tls(s->c, &had)) == 0 && had != NULL) {
		nng_tls_config_free(had);
	}
	return (server_leave(s, rv));
}

// The page for a status: its text, or the file that has it.  Not while the server runs: releases that are as they came would
// free the page before under who sends it.
int
nngio_http_server_page(nngio_http_server *s, uint16_t status, const char *text, const char *path)
{
	int rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	rv = s->started ? NNG_ESTATE :
	    text != NULL ? nng_http_server_set_error_page(s->c, status, text) :
	                   nng_http_server_set_error_file(s->c, status, path);
	return (server_leave(s, rv));
}

// Gives a response the server's page for its status.
int
nngio_http_server_error(nngio_http_server *s, nngio_http_message *response)
{
	int rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	return (server_leave(s, nng_http_server_res_error(s->c, response->res)));
}

// A handler that calls Python under a tag, or, with a type, has fixed content.
nngio_http_handler *
nngio_http_handler_new(const char *path, uint64_t tag, const char *type, const void *data, size_t size, int *error)
{
	nngio_http_handler *h;

	if ((*error = nngio_init()) != 0) {
		return (NULL);
	}
	*error = NNG_ENOMEM;
	if (size > SIZE_MAX - sizeof(*h) || (h = malloc(sizeof(*h) + size)) == NULL) {
		return (NULL);
	}
	memset(h, 0, sizeof(*h));
	atomic_init(&h->refs, 1);
	h->tag  = tag;
	h->size = size;
	if (size != 0) {
		memcpy(h->data, data, size);
	}
	if ((type != NULL && (h->type = strdup(type)) == NULL) ||
	    (*error = nng_http_handler_alloc(&h->c, path, handle)) != 0) {
		handler_rele(h);
		return (NULL);
	}
	atomic_fetch_add(&h->refs, 1);
	(void) nng_http_handler_set_data(h->c, h, handler_rele); // fails only when it is in use
	return (h);
}

// One of NNG's own: a file, or, with a status, a redirection.
nngio_http_handler *
nngio_http_handler_own(const char *path, const char *target, uint16_t status, int *error)
{
	nngio_http_handler *h;

	if ((*error = nngio_init()) != 0) {
		return (NULL);
	}
	*error = NNG_ENOMEM;
	if ((h = calloc(1, sizeof(*h))) == NULL) {
		return (NULL);
	}
	atomic_init(&h->refs, 1);
	*error = status != 0 ? nng_http_handler_alloc_redirect(&h->c, path, status, target) :
	                       nng_http_handler_alloc_file(&h->c, path, target);
	if (*error != 0) {
		handler_rele(h);
		return (NULL);
	}
	return (h);
}

nng_http_handler *
nngio_http_handler_c(nngio_http_handler *h)
{
	return (h->c);
}

// Python's reference; what no server has goes with it.
void
nngio_http_handler_free(nngio_http_handler *h)
{
	if (h == NULL || nngio_forked()) {
		return;
	}
	if (!h->added) {
		nng_http_handler_free(h->c);
	}
	handler_rele(h);
}

int
nngio_http_server_add(nngio_http_server *s, nngio_http_handler *h)
{
	int rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	if (h->server == NULL) {
		server_hold(s);
		h->server = s;
	}
	if ((rv = nng_http_server_add_handler(s->c, h->c)) == 0) {
		h->added = true;
		atomic_fetch_add(&h->refs, 1);
		h->next     = s->handlers;
		s->handlers = h;
	}
	return (server_leave(s, rv));
}

// Called with the server's `calls`.  NNG as it came may still have the handler for a request whose body it reads, so it is freed
// only where `held` says that NNG holds it.
static void
remove_handler(nngio_http_server *s, nngio_http_handler *h, bool held)
{
	atomic_store(&h->removed, true);
	if (nng_http_server_del_handler(s->c, h->c) == 0 && held) {
		nng_http_handler_free(h->c);
	}
	handler_rele(h);
}

// NNG_ENOENT when it isn't the server's.  Requests that it has are still answered.
int
nngio_http_server_remove(nngio_http_server *s, nngio_http_handler *h, bool held)
{
	nngio_http_handler **link;
	int                  rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	for (link = &s->handlers; *link != NULL && *link != h; link = &(*link)->next) {
	}
	if (*link == NULL) {
		return (server_leave(s, NNG_ENOENT));
	}
	*link = h->next;
	remove_handler(s, h, held);
	return (server_leave(s, 0));
}

// Ends the server, for us: those that share its address with us go on.  Waits until NNG's connections are closed, which waits for
// nothing of Python's.  Any thread, but none of NNG's.
int
nngio_http_server_close(nngio_http_server *s, bool held)
{
	nngio_http_handler *h;
	int                 rv;

	if ((rv = server_enter(s)) != 0) {
		return (rv);
	}
	for (;;) {
		nngio_http_message *m;
		nng_aio            *aio = NULL;
		pthread_mutex_lock(&s->lock);
		s->closed = true;
		if ((m = s->unanswered) != NULL) {
			aio = m->aio;
			unlink_call(m);
		}
		pthread_mutex_unlock(&s->lock);
		if (m == NULL) {
			break;
		}
		nng_aio_finish(aio, NNG_ECLOSED);
	}
	// First, so that nobody is told that there is nothing at an address that is only being closed.
	if (s->started) {
		nng_http_server_stop(s->c);
	}
	while ((h = s->handlers) != NULL) {
		s->handlers = h->next;
		remove_handler(s, h, held);
	}
	nng_http_server_release(s->c);
	return (server_leave(s, 0));
}

// The destructor of the Python object.
void
nngio_http_server_free(nngio_http_server *s)
{
	if (s != NULL && !nngio_forked()) {
		nngio_http_server_close(s, false);
		http_server_rele(s);
	}
}
