// What NNG only does while its caller waits: dialing until the first connection stands, without a
// timeout and deaf to signals, and closing a socket or an endpoint, which waits for its pipes.  Each such call
// gets a thread of its own, which ends with it; the operation finishes like any other.
//
// A dial that is aborted gets a second thread, which closes the dialer: who aborts it is a loop, as a rule, and
// must not wait.  The operation finishes with the last of its threads, so that the dialer is closed by then.

#include <pthread.h>
#include <signal.h>

#include "internal.h"

#define BEGIN_MS 20

// When a dialer is closed, alone or with its socket, before nng_dialer_start has begun to connect, NNG never
// returns from there, and never closes the socket.  It doesn't tell when it has begun, so for as long as that
// may take on a busy machine, closing waits.
void
dials_begin(nngio_handle *h, uint32_t dialer)
{
	bool wait;

	do {
		nng_time now = nng_clock();
		wait         = false;
		pthread_mutex_lock(&h->lock);
		for (nngio_op *op = h->dialing; op != NULL; op = op->pending_next) {
			if ((dialer == 0 || op->dialer == dialer) && now < op->begun + BEGIN_MS) {
				wait = true;
			}
		}
		pthread_mutex_unlock(&h->lock);
		if (wait) {
			nng_msleep(1);
		}
	} while (wait);
}

// Pending connects end with NNG_ECLOSED, pipes are torn down.  NNG_ENOENT when it was closed before.  Any
// thread, but none of NNG's; a loop's has nngio_begin_dialer_close.  Nothing happens when the socket is being
// closed: that closes the dialer too.
int
nngio_dialer_close(nngio_handle *h, uint32_t dialer)
{
	nng_dialer d = { .id = dialer };
	int        rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!handle_try_enter(h)) {
		return (NNG_ECLOSED);
	}
	dials_begin(h, dialer);
	rv = nng_dialer_close(d);
	handle_leave(h);
	return (rv);
}

// The same for a listener.  NNG 1.6 and later would abort the process if the socket closed it at the same time.
int
nngio_listener_close(nngio_handle *h, uint32_t listener)
{
	nng_listener l = { .id = listener };
	int          rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!handle_try_enter(h)) {
		return (NNG_ECLOSED);
	}
	rv = nng_listener_close(l);
	handle_leave(h);
	return (rv);
}

static int
dial(nngio_op *op, nngio_handle *h)
{
	nng_dialer    d = { .id = op->dialer };
	nngio_op    **link;
	int           rv;

	pthread_mutex_lock(&h->lock);
	if (op->aborted != 0 || atomic_load(&h->closed) != 0) {
		pthread_mutex_unlock(&h->lock);
		return (NNG_ECLOSED);
	}
	op->begun        = nng_clock();
	op->pending_next = h->dialing;
	h->dialing       = op;
	pthread_mutex_unlock(&h->lock);

	rv = nng_dialer_start(d, 0);

	pthread_mutex_lock(&h->lock);
	for (link = &h->dialing; *link != op; link = &(*link)->pending_next) {
	}
	*link = op->pending_next;
	pthread_mutex_unlock(&h->lock);
	return (rv);
}

// The last act of a thread of an operation's.  The other one, if there is any, may finish the operation as soon
// as the lock is free; the handle is this thread's own.
static void
job_ends(nngio_op *op, nngio_handle *h)
{
	bool last;
	int  result;

	pthread_mutex_lock(&h->lock);
	last   = --op->threads == 0;
	result = op->aborted != 0 ? op->aborted : op->result;
	pthread_mutex_unlock(&h->lock);
	if (last) {
		op_complete(op, result);
	}
	handle_rele(h);
}

static void *
job_thread(void *arg)
{
	nngio_op     *op = arg;
	nngio_handle *h  = op->handle;

	if (op->kind == NNGIO_DIAL) {
		op->result = dial(op, h);
		if (op->result == NNG_ECANCELED) {
			op->result = NNG_ECLOSED; // NNG 1.6 and later, when the dialer or its socket is closed
		}
	} else if (op->dialer != 0) {
		op->result = nngio_dialer_close(h, op->dialer);
	} else if (op->listener != 0) {
		op->result = nngio_listener_close(h, op->listener);
	} else {
		op->result = nngio_handle_close(h);
	}
	job_ends(op, h);
	return (NULL);
}

static void *
abort_thread(void *arg)
{
	nngio_op     *op = arg;
	nngio_handle *h  = op->handle;

	(void) nngio_dialer_close(h, op->dialer);
	job_ends(op, h);
	return (NULL);
}

// Starts one of an operation's threads, which is counted already.
static bool
start_thread(void *(*run)(void *), nngio_op *op)
{
	pthread_t      thread;
	pthread_attr_t attr;
	sigset_t       old;
	int            rv;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	block_signals(&old);
	rv = pthread_create(&thread, &attr, run, op);
	restore_signals(&old);
	pthread_attr_destroy(&attr);
	return (rv == 0);
}

// Where there is no thread for it, closing blocks: better than not to close.
static void
start_job(nngio_op *op)
{
	op->threads = 1;
	handle_hold(op->handle); // given back by job_ends
	op_pending(op);
	if (start_thread(job_thread, op)) {
		return;
	}
	if (op->kind == NNGIO_DIAL) {
		op->result = NNG_ENOMEM;
		job_ends(op, op->handle);
	} else {
		job_thread(op);
	}
}

// Ends a dial with `code`, unless it has ended by itself; nothing is waited for.  Called by the operation's
// owner, or for it.
void
dial_abort(nngio_op *op, int code)
{
	nngio_handle *h = op->handle;
	bool          first;

	pthread_mutex_lock(&h->lock);
	if ((first = op->threads != 0 && op->aborted == 0)) {
		op->aborted = code;
		op->threads++;
		handle_hold(h); // given back by job_ends
	}
	pthread_mutex_unlock(&h->lock);
	if (first && !start_thread(abort_thread, op)) {
		abort_thread(op);
	}
}

// Starts a dialer of the socket's; the outcome is that of its first attempt.  After nngio_op_abort the outcome is
// the code given there, and the dialer is closed, if the attempt had not ended before.
int
nngio_begin_dial(nngio_op *op, nngio_handle *h, uint32_t dialer)
{
	int rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if ((rv = op_begin(op, h, NNGIO_DIAL)) != 0) {
		return (rv);
	}
	op->dialer = dialer;
	start_job(op);
	return (NNGIO_PENDING);
}

static int
begin_close(nngio_op *op, nngio_handle *h, uint32_t dialer, uint32_t listener)
{
	int rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if ((rv = op_begin(op, h, NNGIO_CLOSE)) != 0) {
		return (rv);
	}
	op->dialer   = dialer;
	op->listener = listener;
	start_job(op);
	return (NNGIO_PENDING);
}

// nngio_handle_close, elsewhere.  It can't be aborted.
int
nngio_begin_close(nngio_op *op, nngio_handle *h)
{
	return (begin_close(op, h, 0, 0));
}

// The same for a dialer of the socket's, and for a listener.
int
nngio_begin_dialer_close(nngio_op *op, nngio_handle *h, uint32_t dialer)
{
	return (begin_close(op, h, dialer, 0));
}

int
nngio_begin_listener_close(nngio_op *op, nngio_handle *h, uint32_t listener)
{
	return (begin_close(op, h, 0, listener));
}
