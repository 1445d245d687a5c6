// Dialing until the first connection stands.  NNG blocks the caller in nng_dialer_start, without a
// timeout and deaf to signals, so a thread of its own makes the call; closing the dialer ends it.

#include <pthread.h>
#include <signal.h>

#include "internal.h"

static void *
dial_thread(void *arg)
{
	nngio_op  *op = arg;
	nng_dialer d  = { .id = op->dialer };
	int        rv = nng_dialer_start(d, 0);

	op_complete(op, rv != 0 && op->aborted != 0 ? op->aborted : rv);
	return (NULL);
}

// The operation finishes with the outcome of the first attempt.  After nngio_op_abort the dialer is
// closed.
int
nngio_submit_dial(nngio_op *op, uint32_t dialer)
{
	pthread_t      thread;
	pthread_attr_t attr;
	sigset_t       old;
	int            rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (nngio_op_busy(op)) {
		return (NNGIO_BUSY);
	}
	op->kind    = NNGIO_DIAL;
	op->result  = 0;
	op->aborted = 0;
	op->dialer  = dialer;
	atomic_store(&op->state, OP_PENDING);
	if (op->queue != NULL) {
		queue_hold(op->queue);
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	block_signals(&old);
	rv = pthread_create(&thread, &attr, dial_thread, op);
	restore_signals(&old);
	pthread_attr_destroy(&attr);
	if (rv != 0) {
		op_complete(op, NNG_ENOMEM);
	}
	return (0);
}
