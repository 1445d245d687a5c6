// HTTP: NNG's client, its connections, and its server with handlers in Python.
//
// Theory of operation, clients and connections.  Each call is a task with an aio of its own, which owns all that NNG looks at
// until it has given the aio back: the bytes, the request, the response.  A call waits for its task; one that is
// interrupted stops waiting at once, and the task ends when NNG has come to it.  NNG closes a connection of which an
// operation was aborted, and must not be given another one before it has: so the connection counts as closed from then on.
// It does so too when the task had ended and nobody has taken what it brought, and when a call of several tasks is interrupted
// between two: what comes next on the connection would be taken for the answer to something else.
// A connection is not closed in NNG before all its tasks have ended.
//
// NNG's own transactions (nng_http_client_transact, nng_http_conn_transact) can't be used: what cancels one between two of its steps
// is lost, and closing the connection then frees what the transaction goes on with.
//
// Theory of operation, servers.  NNG calls a handler on a thread of its own, with an aio that it waits for.  For one in
// Python that is put into a message, and this into the list of those that the callback thread takes.  A message is
// answered once: by Python, or with the end of its server, whichever comes first under the server's lock; what NNG lends us of
// the request is not looked at after that.  Closing answers them all before NNG is told to stop, as NNG waits for them.
//
// Locks.  NNG is called under a connection's lock, and under a server's to take over a connection; its callbacks
// come with no lock of NNG's but for the destructor of a handler, which takes none of ours.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct http_task {
	http_task          *next, **link; // in its owner's list, under the lock
	nngio_http         *owner;        // held
	nngio_op           *op;           // that waits, or NULL; under the lock
	nng_aio            *aio;
	int                 what;
	nngio_http_message *message; // to be sent, or to be filled
	nngio_http         *given;   // the connection
	size_t              size;
	char                data[];
};

static nngio_http *
http_new(void)
{
	nngio_http *h = calloc(1, sizeof(*h));

	if (h != NULL) {
		atomic_init(&h->refs, 1);
		pthread_mutex_init(&h->lock, NULL);
		pthread_cond_init(&h->idle, NULL);
	}
	return (h);
}

void
http_hold(nngio_http *h)
{
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
}

// The last one to have it closes it, if nobody has: a connection that was made and never taken.
void
http_rele(nngio_http *h)
{
	if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	if (!h->closed) {
		atomic_store(&h->refs, 1);
		nngio_http_close(h);
	}
	pthread_cond_destroy(&h->idle);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static void
task_free(http_task *t)
{
	if (t->message != NULL) {
		nngio_http_message_free(t->message);
	}
	if (t->given != NULL) {
		http_rele(t->given);
	}
	if (t->aio != NULL) {
		nng_aio_free(t->aio);
	}
	http_rele(t->owner);
	free(t);
}

// The callback of a task's aio, on a task thread of NNG's.
static void
task_callback(void *arg)
{
	http_task  *t  = arg;
	nngio_http *h  = t->owner;
	int         rv = nng_aio_result(t->aio);
	nngio_op   *op;

	t->size = nng_aio_count(t->aio);
	if (t->given != NULL) {
		// It counts if there is one: 1.12 reports an abort that came too late.
		t->given->conn   = nng_aio_get_output(t->aio, 0);
		t->given->closed = t->given->conn == NULL;
		rv               = t->given->conn != NULL ? 0 : rv;
	}
	http_hold(h);
	pthread_mutex_lock(&h->lock);
	if ((*t->link = t->next) != NULL) {
		t->next->link = t->link;
	}
	if ((op = t->op) == NULL) {
		if (t->given != NULL && t->given->conn != NULL) {
			h->late  = t->given; // to be closed by who closes us: this thread must not wait
			t->given = NULL;
		}
	} else {
		t->op = NULL;
		if (rv != 0 && h->conn != NULL) {
			h->broken = true;
		}
		rv = h->closed && rv != 0 ? NNG_ECLOSED : rv;
	}
	if (h->tasks == NULL) {
		pthread_cond_broadcast(&h->idle);
	}
	pthread_mutex_unlock(&h->lock);
	nng_aio_reap(t->aio); // nobody aborts it any more
	t->aio = NULL;
	if (op == NULL) {
		task_free(t);
	} else {
		op->body = t->data;
		op->len  = t->size;
		op_complete(op, rv);
	}
	http_rele(h);
}

static void
task_start(http_task *t)
{
	nngio_http         *h = t->owner;
	nngio_http_message *m = t->message;

	if (t->what >= NNGIO_HTTP_READ && t->what <= NNGIO_HTTP_WRITE_ALL) {
		nng_iov iov = { .iov_buf = t->data, .iov_len = t->size };
		nng_aio_set_iov(t->aio, 1, &iov);
	}
	nng_aio_set_timeout(t->aio, NNG_DURATION_INFINITE);
	switch (t->what) {
	case NNGIO_HTTP_CONNECT:
		nng_http_client_connect(h->client, t->aio);
		break;
	case NNGIO_HTTP_READ:
		nng_http_conn_read(h->conn, t->aio);
		break;
	case NNGIO_HTTP_READ_ALL:
		nng_http_conn_read_all(h->conn, t->aio);
		break;
	case NNGIO_HTTP_WRITE:
		nng_http_conn_write(h->conn, t->aio);
		break;
	case NNGIO_HTTP_WRITE_ALL:
		nng_http_conn_write_all(h->conn, t->aio);
		break;
	case NNGIO_HTTP_READ_REQUEST:
		nng_http_conn_read_req(h->conn, m->req, t->aio);
		break;
	case NNGIO_HTTP_READ_RESPONSE:
		nng_http_conn_read_res(h->conn, m->res, t->aio);
		break;
	case NNGIO_HTTP_WRITE_REQUEST:
		nng_http_conn_write_req(h->conn, m->req, t->aio);
		break;
	default:
		nng_http_conn_write_res(h->conn, m->res, t->aio);
		break;
	}
}

static http_task *
task_new(nngio_http *h, int what, nngio_http_message *m, const void *data, size_t size)
{
	http_task *t = size <= SIZE_MAX - sizeof(*t) ? malloc(sizeof(*t) + size) : NULL;

	if (t == NULL) {
		return (NULL);
	}
	memset(t, 0, sizeof(*t));
	t->owner = h;
	http_hold(h);
	t->what = what;
	t->size = size;
	if (data != NULL) {
		memcpy(t->data, data, size);
	}
	if (nng_aio_alloc(&t->aio, task_callback, t) != 0 ||
	    (what == NNGIO_HTTP_CONNECT && (t->given = http_new()) == NULL)) {
		task_free(t);
		return (NULL);
	}
	if (t->given != NULL) {
		t->given->closed = true; // until there is a connection
	}
	if ((t->message = m) != NULL) {
		atomic_fetch_add(&m->refs, 1);
	}
	return (t);
}

// Begins one operation.  What is to be sent is copied, or is a message that is not used again; `size` is also the room for
// what is read.  NNGIO_PENDING, or the outcome.
int
nngio_http_begin(
    nngio_op *op, nngio_http *h, int what, nngio_http_message *m, const void *data, size_t size, int ms)
{
	http_task *t;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	op_ready(op, NNGIO_HTTP, ms);
	if (op->http != h) {
		http_hold(h);
		if (op->http != NULL) {
			http_rele(op->http);
		}
		op->http = h;
	}
	if ((t = task_new(h, what, m, data, size)) == NULL) {
		return (op->result = NNG_ENOMEM);
	}
	pthread_mutex_lock(&h->lock);
	if (h->closed || h->broken) {
		pthread_mutex_unlock(&h->lock);
		task_free(t);
		stay_if_ending();
		return (op->result = NNG_ECLOSED);
	}
	op_pending(op);
	t->op    = op;
	op->task = t;
	t->link  = &h->tasks;
	if ((t->next = h->tasks) != NULL) {
		t->next->link = &t->next;
	}
	h->tasks = t;
	task_start(t); // under the lock, so that no abort comes before it
	pthread_mutex_unlock(&h->lock);
	return (NNGIO_PENDING);
}

// Called with the lock: from now on a connection counts as closed, and says why.  An attempt to connect has nothing to be
// taken amiss.
static void
interrupt(nngio_http *h)
{
	if (h->conn != NULL) {
		h->interrupted = h->interrupted || (!h->closed && !h->broken);
		h->broken      = true;
	}
}

// The part of nngio_op_abort for what waits here: it stops waiting, with that result, at once.
void
http_abort(nngio_op *op, int code)
{
	nngio_http *h = op->http;
	bool        waits;

	pthread_mutex_lock(&h->lock);
	if ((waits = op->task != NULL && op->task->op == op)) {
		op->task->op = NULL;
		interrupt(h);
		nng_aio_abort(op->task->aio, NNG_ECANCELED);
		op->task = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	if (waits) {
		op_complete(op, code);
	}
}

// The part of nngio_op_give_up and nngio_op_free for what was begun here, whether it waits or has finished: nobody will know what
// it brought.  On the thread of its owner, and without a lock; doesn't wait.
void
http_give_up(nngio_op *op)
{
	nngio_http *h = op->http;

	http_abort(op, NNG_ECANCELED);
	pthread_mutex_lock(&h->lock);
	if (op->task != NULL) { // it had finished, or its callback is about to say so
		interrupt(h);
	}
	pthread_mutex_unlock(&h->lock);
}

static bool
was_interrupted(nngio_http *h)
{
	bool interrupted;

	pthread_mutex_lock(&h->lock);
	interrupted = h->interrupted;
	pthread_mutex_unlock(&h->lock);
	return (interrupted);
}

// The part of nngio_abandon: the same, and the peer hears of it.  May wait as nngio_http_close.
void
http_abandon(nngio_op *op)
{
	http_give_up(op);
	if (was_interrupted(op->http)) {
		nngio_http_close(op->http);
	}
}

// Lets go of what an idle operation was given.
void
http_drop(nngio_op *op)
{
	task_free(op->task);
	op->task = NULL;
}

nngio_http *
nngio_http_given(nngio_op *op)
{
	return (op->task->given);
}

static int
parse(const char *text, nng_url **url, int *error)
{
	*url = NULL;
	if ((*error = nngio_init()) == 0) {
		*error = nng_url_parse(url, text);
	}
	return (*error);
}

// For one attempt to connect: NNG doesn't keep one apart from the next, when it is cancelled.
nngio_http *
nngio_http_client(const char *text, int *error)
{
	nngio_http *h;
	nng_url    *url;

	if (parse(text, &url, error) != 0) {
		return (NULL);
	}
	*error = NNG_ENOMEM;
	if ((h = http_new()) != NULL && (*error = nng_http_client_alloc(&h->client, url)) != 0) {
		h->closed = true;
		http_rele(h);
		h = NULL;
	}
	nng_url_free(url);
	return (h);
}

int
nngio_http_set_tls(nngio_http *h, nng_tls_config *config)
{
	return (nngio_forked() ? NNGIO_FORKED : nng_http_client_set_tls(h->client, config));
}

// Closes it: what waits on it ends with NNG_ECLOSED.  Waits for NNG to let go of it, microseconds as a rule.  Any
// thread, but none of NNG's.
int
nngio_http_close(nngio_http *h)
{
	nngio_op *done = NULL, *op;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	pthread_mutex_lock(&h->lock);
	if (h->closed) {
		pthread_mutex_unlock(&h->lock);
		return (NNG_ECLOSED);
	}
	h->closed = true;
	for (http_task *t = h->tasks; t != NULL; t = t->next) {
		if ((op = t->op) != NULL) {
			t->op            = NULL;
			op->task         = NULL;
			op->pending_next = done;
			done             = op;
		}
		nng_aio_abort(t->aio, NNG_ECANCELED);
	}
	while (h->tasks != NULL) {
		pthread_cond_wait(&h->idle, &h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	while ((op = done) != NULL) {
		done = op->pending_next;
		op_complete(op, NNG_ECLOSED);
	}
	if (h->late != NULL) {
		http_rele(h->late);
	}
	if (h->client != NULL) {
		nng_http_client_free(h->client);
	}
	if (h->conn != NULL) {
		nng_http_conn_close(h->conn);
	}
	return (0);
}

// The same for who was interrupted between two operations of one call.
void
nngio_http_interrupt(nngio_http *h)
{
	if (nngio_forked()) {
		return;
	}
	pthread_mutex_lock(&h->lock);
	interrupt(h);
	pthread_mutex_unlock(&h->lock);
	nngio_http_close(h);
}

// Whether it was open when a call was interrupted, and was closed by that.
bool
nngio_http_interrupted(nngio_http *h)
{
	return (was_interrupted(h));
}

bool
nngio_http_closed(nngio_http *h)
{
	bool closed;

	pthread_mutex_lock(&h->lock);
	closed = h->closed || h->broken;
	pthread_mutex_unlock(&h->lock);
	return (closed);
}

// The destructor of the Python object.
void
nngio_http_free(nngio_http *h)
{
	if (h != NULL && !nngio_forked()) {
		nngio_http_close(h);
		http_rele(h);
	}
}

// Gives back a reference that a function here has returned.
void
nngio_http_let_go(nngio_http *h)
{
	if (h != NULL && !nngio_forked()) {
		http_rele(h);
	}
}

// Messages.

static nngio_http_message *
message_new(void)
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
	if ((m = message_new()) != NULL && (*error = nng_http_req_alloc(&m->req, NULL)) != 0) {
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
	if ((m = message_new()) != NULL &&
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

static void
message_lock(nngio_http_message *m)
{
	if (m->server != NULL) {
		pthread_mutex_lock(&m->server->lock);
	}
}

static void
message_unlock(nngio_http_message *m)
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
	message_lock(m);
	req = m->lent != NULL ? m->lent : m->req;
	if (req == NULL && res == NULL) {
		which = -1;
	}
	if (which == NNGIO_HTTP_HEADERS) {
		copy = all_headers(req, res);
		message_unlock(m);
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
	message_unlock(m);
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
	message_lock(m);
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
	message_unlock(m);
	return (copy);
}

// Servers.

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
	if (atomic_load(&h->removed)) {
		refuse(aio, NNG_HTTP_STATUS_NOT_FOUND);
		return;
	}
	if (h->type != NULL) {
		serve_fixed(h, aio);
		return;
	}
	if ((m = message_new()) == NULL) {
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
		message_lock(m);
		over = m->aio == NULL;
		message_unlock(m);
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

	message_lock(m);
	over = m->aio == NULL;
	message_unlock(m);
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
	message_lock(m);
	if ((aio = m->aio) != NULL) {
		unlink_call(m);
	}
	message_unlock(m);
	if (aio == NULL) {
		return (NNG_ECLOSED);
	}
	answer_nng(aio, response->res, 0);
	response->res = NULL;
	return (0);
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
	message_lock(m);
	if ((aio = m->aio) != NULL && (*error = nng_http_hijack(m->conn)) == 0) {
		h->conn = m->conn;
		m->req  = m->lent; // NNG leaves us both
		unlink_call(m);
	}
	message_unlock(m);
	if (h->conn == NULL) {
		*error    = aio == NULL ? NNG_ECLOSED : *error;
		h->closed = true;
		http_rele(h);
		return (NULL);
	}
	nng_aio_finish(aio, 0);
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
	message_lock(m);
	if ((aio = m->aio) != NULL) {
		unlink_call(m);
	}
	message_unlock(m);
	if (aio != NULL) {
		nng_aio_finish(aio, NNG_ECANCELED);
	}
	nngio_http_message_free(m);
}

nngio_http_server *
nngio_http_server_new(const char *text, int *error)
{
	nngio_http_server *s;
	nng_url           *url;

	if (parse(text, &url, error) != 0) {
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
	if (!s->started && (rv = nng_http_server_start(s->c)) == 0) {
		s->started = true;
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
