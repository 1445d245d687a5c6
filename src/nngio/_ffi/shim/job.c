// What NNG only does while its caller waits: dialing until the first connection stands, without a
// timeout and deaf to signals, and closing a socket, which waits for its pipes.  Each such call gets a
// thread of its own, which ends with it; the operation finishes like any other.

#include <pthread.h>
#include <signal.h>

#include "internal.h"

static void *
job_thread(void *arg)
{
	nngio_op *op = arg;
	int       rv;

	if (op->kind == NNGIO_CLOSE) {
		rv = nngio_handle_close(op->handle);
	} else {
		nng_dialer d = { .id = op->dialer };
		rv           = nng_dialer_start(d, 0);
		if (rv != 0 && op->aborted != 0) {
			rv = op->aborted;
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

// Starts a dialer; the outcome is that of its first attempt.  After nngio_op_abort the dialer is closed.
int
nngio_begin_dial(nngio_op *op, uint32_t dialer)
{
	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	op->kind    = NNGIO_DIAL;
	op->result  = 0;
	op->aborted = 0;
	op->dialer  = dialer;
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
