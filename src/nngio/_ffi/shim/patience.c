// Sends of a loop's that NNG has put off on an aio without a callback.
//
// REP, RESPONDENT and BUS can't try whether they can send now, but most often they can.  On an aio with a
// callback the loop would be woken through two other threads to hear of it; on one without, the send is over
// when the call returns.  If it isn't, because the pipe is busy with another message, NNG tells nobody when it
// is: one thread looks, every 50 microseconds at first and every 2 ms later on, for as long as there are any.

#include <signal.h>
#include <time.h>

#include "internal.h"

#define NAP_NS 50000
#define LONGEST_NAP_NS 2000000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static nngio_op       *waiting;
static bool            running;
static atomic_uint     some; // 1 when the thread has something to look at

// Under the lock.
static void
unlink_op(nngio_op *op)
{
	*(op->patience_prev != NULL ? &op->patience_prev->patience_next : &waiting) = op->patience_next;
	if (op->patience_next != NULL) {
		op->patience_next->patience_prev = op->patience_prev;
	}
	op->patient = false;
}

static void *
look(void *arg)
{
	struct timespec nap = { .tv_nsec = NAP_NS };

	for (;;) {
		nngio_op *done = NULL;
		bool      more;

		pthread_mutex_lock(&lock);
		for (nngio_op *next, *op = waiting; op != NULL; op = next) {
			next = op->patience_next;
			if (inline_done(op)) {
				unlink_op(op);
				op->next = done;
				done     = op;
			}
		}
		if (!(more = waiting != NULL)) {
			atomic_store(&some, 0);
		}
		pthread_mutex_unlock(&lock);
		nap.tv_nsec = done != NULL || !more ? NAP_NS : nap.tv_nsec;
		while (done != NULL) {
			nngio_op *op = done;
			done         = op->next;
			inline_end(op);
			op_complete(op, op->result);
		}
		if (!more) {
			(void) word_wait(&some, 0, -1);
			continue;
		}
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < LONGEST_NAP_NS) {
			nap.tv_nsec *= 2;
		}
	}
	return (arg);
}

// Has a pending operation looked after; false if there is no thread for it.
bool
patience_add(nngio_op *op)
{
	pthread_t thread;
	sigset_t  old;

	pthread_mutex_lock(&lock);
	if (!running) {
		block_signals(&old);
		running = pthread_create(&thread, NULL, look, NULL) == 0;
		restore_signals(&old);
		if (!running) {
			pthread_mutex_unlock(&lock);
			return (false);
		}
		pthread_detach(thread);
	}
	op->patient       = true;
	op->patience_prev = NULL;
	if ((op->patience_next = waiting) != NULL) {
		waiting->patience_prev = op;
	}
	waiting = op;
	atomic_store(&some, 1);
	pthread_mutex_unlock(&lock);
	word_wake(&some);
	return (true);
}

// Takes it back, for its owner to end it; false if it isn't there, or not any more.
bool
patience_remove(nngio_op *op)
{
	bool was_there;

	pthread_mutex_lock(&lock);
	if ((was_there = op->patient)) {
		unlink_op(op);
	}
	pthread_mutex_unlock(&lock);
	return (was_there);
}
