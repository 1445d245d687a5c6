// HTTP: NNG's client, and connections, a server's too.
//
// Theory of operation.  Each call is a task with an aio of its own, which owns all that NNG looks at
// until it has given the aio back: the bytes, the request, the response.  A call waits for its task; one that is
// interrupted stops waiting at once, and the task ends when NNG has come to it.  NNG closes a connection of which an
// operation was aborted, and must not be given another one before it has: so the connection counts as closed from then on.
// It does so too when the task had ended and nobody has taken what it brought, and when a call of several tasks is interrupted
// between two: what comes next on the connection would be taken for the answer to something else.
// A connection is not closed in NNG before all its tasks have ended.
//
// NNG is given one task that reads and one that writes at a time: from 1.6 on it keeps for the connection what kind of message it
// reads, so that the next one's kind would be taken for that of the one before.  The others wait for their turn here.
//
// NNG's own transactions (nng_http_client_transact, nng_http_conn_transact) can't be used: what cancels one between two of its steps
// is lost, and closing the connection then frees what the transaction goes on with.
//
// Locks.  NNG is called under a connection's lock; its callbacks come with no lock of NNG's.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct http_task {
	http_task          *next, **link; // in its owner's list, under the lock
	nngio_http         *owner;        // held
	nngio_op           *op;           // that waits, or NULL; under the lock
	nngio_op           *ending;       // that one, of a task which can't begin any more: nobody else ends it now
	nng_aio            *aio;
	int                 what;
	bool                begun;   // NNG has it
	nngio_http_message *message; // to be sent, or to be filled
	nngio_http         *given;   // the connection
	size_t              size;
	char                data[];
};

nngio_http *
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

// Of a task that NNG is done with, or has never had.
static void
task_ends(http_task *t, nngio_op *op, int rv)
{
	nng_aio_reap(t->aio); // nobody aborts it any more
	t->aio = NULL;
	if (op == NULL) {
		task_free(t);
	} else {
		op->body = t->data;
		op->len  = t->size;
		op_complete(op, rv);
	}
}

enum direction {
	NEITHER,
	READS,
	WRITES,
};

static enum direction
direction_of(const http_task *t)
{
	switch (t->what) {
	case NNGIO_HTTP_CONNECT:
		return (NEITHER);
	case NNGIO_HTTP_READ:
	case NNGIO_HTTP_READ_ALL:
	case NNGIO_HTTP_READ_REQUEST:
	case NNGIO_HTTP_READ_RESPONSE:
		return (READS);
	default:
		return (WRITES);
	}
}

// Called with the lock.
static void
unlink_task(http_task *t)
{
	if ((*t->link = t->next) != NULL) {
		t->next->link = t->link;
	}
}

// Called with the lock.  Those that wait, the oldest last; or, of those that NNG has, any.
static http_task *
oldest(nngio_http *h, enum direction direction, bool begun)
{
	http_task *found = NULL;

	for (http_task *t = h->tasks; t != NULL; t = t->next) {
		if (t->begun == begun && direction_of(t) == direction) {
			found = t;
		}
	}
	return (found);
}

static void task_start(http_task *t);

// Called with the lock, when a task has ended: begins the next in its direction.  Returns those that can't begin any more.
static http_task *
next_turn(nngio_http *h, enum direction direction)
{
	http_task *ended = NULL, *t;

	while ((t = oldest(h, direction, false)) != NULL) {
		if (!h->closed && !h->broken) {
			task_start(t);
			break;
		}
		unlink_task(t);
		t->ending = t->op;
		t->op     = NULL;
		t->next   = ended;
		ended     = t;
	}
	return (ended);
}

// The callback of a task's aio, on a task thread of NNG's.
static void
task_callback(void *arg)
{
	http_task  *t  = arg, *ended;
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
	unlink_task(t);
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
	ended = next_turn(h, direction_of(t));
	if (h->tasks == NULL) {
		pthread_cond_broadcast(&h->idle);
	}
	pthread_mutex_unlock(&h->lock);
	task_ends(t, op, rv);
	while ((t = ended) != NULL) {
		ended   = t->next;
		t->size = 0;
		task_ends(t, t->ending, NNG_ECLOSED);
	}
	http_rele(h);
}

// Called with the lock, so that no abort comes before it.
static void
task_start(http_task *t)
{
	nngio_http         *h = t->owner;
	nngio_http_message *m = t->message;

	t->begun = true;
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
	if (oldest(h, direction_of(t), true) == NULL) {
		task_start(t);
	}
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
	http_task  *t, *unbegun = NULL;
	bool        waits;

	pthread_mutex_lock(&h->lock);
	if ((waits = (t = op->task) != NULL && t->op == op)) {
		t->op    = NULL;
		op->task = NULL;
		interrupt(h);
		if (t->begun) {
			nng_aio_abort(t->aio, NNG_ECANCELED);
		} else {
			unlink_task(t);
			unbegun = t;
		}
	}
	pthread_mutex_unlock(&h->lock);
	if (unbegun != NULL) {
		task_ends(unbegun, NULL, 0);
	}
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

int
http_parse_url(const char *text, nng_url **url, int *error)
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

	if (http_parse_url(text, &url, error) != 0) {
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
	nngio_op  *done = NULL, *op;
	http_task *unbegun = NULL, *next;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	pthread_mutex_lock(&h->lock);
	if (h->closed) {
		pthread_mutex_unlock(&h->lock);
		return (NNG_ECLOSED);
	}
	h->closed = true;
	for (http_task *t = h->tasks; t != NULL; t = next) {
		next = t->next;
		if ((op = t->op) != NULL) {
			t->op            = NULL;
			op->task         = NULL;
			op->pending_next = done;
			done             = op;
		}
		if (t->begun) {
			nng_aio_abort(t->aio, NNG_ECANCELED);
		} else {
			unlink_task(t);
			t->next = unbegun;
			unbegun = t;
		}
	}
	while (h->tasks != NULL) {
		pthread_cond_wait(&h->idle, &h->lock);
	}
	pthread_mutex_unlock(&h->lock);
	while (unbegun != NULL) {
		next = unbegun->next;
		task_ends(unbegun, NULL, 0);
		unbegun = next;
	}
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
