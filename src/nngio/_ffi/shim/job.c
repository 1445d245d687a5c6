// What NNG only does while its caller waits: dialing until the first connection stands, without a
// timeout and deaf to signals, and closing a socket, which waits for its pipes.  Each such call gets a
// thread of its own, which ends with it; the operation finishes like any other.

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

// Pending connects end with NNG_ECLOSED, pipes are torn down.  NNG_ENOENT when it was closed before.
int
nngio_dialer_close(nngio_handle *h, uint32_t dialer)
{
	nng_dialer d = { .id = dialer };

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	dials_begin(h, dialer);
	return (nng_dialer_close(d));
}

static int
dial(nngio_op *op)
{
	nngio_handle *h = op->handle;
	nng_dialer    d = { .id = op->dialer };
	nngio_op    **link;
	int           rv;

	pthread_mutex_lock(&h->lock);
	if (atomic_load(&h->closed) != 0) {
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

static void *
job_thread(void *arg)
{
	nngio_op *op = arg;
	int       rv;

	if (op->kind == NNGIO_CLOSE) {
		rv = nngio_handle_close(op->handle);
	} else {
		rv = dial(op);
		if (rv != 0 && op->aborted != 0) {
			rv = op->aborted;
		} else if (rv == NNG_ECANCELED) {
			rv = NNG_ECLOSED; // NNG 1.6 and later, when the dialer or its socket is closed
		}
	}
	op_complete(op, rv);
	return (NULL);
}

static void
start_job(nngio_op *op)
{
	pthread_t      thread;
	pthread_attr_t attr;
	sigset_t       old;
	int            rv;

	op_pending(op);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	block_signals(&old);
	rv = pthread_create(&thread, &attr, job_thread, op);
	restore_signals(&old);
	pthread_attr_destroy(&attr);
	if (rv != 0) {
		op_complete(op, NNG_ENOMEM);
	}
}

// Starts a dialer of the socket's; the outcome is that of its first attempt.  After nngio_op_abort the
// dialer is closed.
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

// nngio_handle_close, elsewhere.  It can't be aborted.
int
nngio_begin_close(nngio_op *op, nngio_handle *h)
{
	int rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if ((rv = op_begin(op, h, NNGIO_CLOSE)) != 0) {
		return (rv);
	}
	start_job(op);
	return (NNGIO_PENDING);
}
