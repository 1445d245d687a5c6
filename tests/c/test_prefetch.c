// Read-ahead: what the reader brings, to receives that find it, wait for it, end before it comes, or are given up.

#include "check.h"

static nngio_handle *sender, *receiver;
static uint32_t      all;

static void
open_pull(int max)
{
	sender   = open_socket(nng_push0_open, PUSH_FLAGS);
	receiver = open_socket(nng_pull0_open, PULL_FLAGS);
	EQUAL(nngio_prefetch(receiver, max), 0);
	connect_both(receiver, sender);
}

static void
close_pull(void)
{
	close_handle(sender);
	close_handle(receiver);
}

static void *
send_all(void *argument)
{
	nngio_op *op = new_op();

	for (uint32_t i = 0; i < all; i++) {
		send_number(op, sender, i);
	}
	nngio_op_free(op);
	return (argument);
}

// Times that are up in the moment in which messages come, and receives that are abandoned: none is lost, and the
// order is kept.
static void
receives_that_end_early_leave_their_messages_to_the_next(void)
{
	nngio_op *op   = new_op();
	unsigned  seed = 7;
	uint32_t  next = 0, number;

	all = (uint32_t) rounds(10000);
	open_pull(3);
	pthread_t thread = start(send_all, NULL);
	while (next < all) {
		unsigned way = dice(&seed, 4);
		int      rv  = nngio_begin_recv(op, receiver, way == 0 ? 1 : way == 1 ? 5000 : -1);
		if (rv == NNGIO_PENDING && dice(&seed, 3) == 0) {
			if (dice(&seed, 2) != 0) {
				sleep_us((int) dice(&seed, 60));
			}
			nngio_abandon(op, NULL);
			continue;
		}
		if (rv == NNGIO_PENDING) {
			rv = wait_for(op);
		}
		if (rv != 0) {
			EQUAL(rv, NNG_ETIMEDOUT);
			EQUAL(way, 0);
			continue;
		}
		number = number_of(op);
		EQUAL(number, next++);
	}
	join(thread);
	nngio_op_free(op);
	close_pull();
}

static atomic_uint received;

static void *
receive_some(void *argument)
{
	unsigned  seed = (unsigned) (uintptr_t) argument;
	nngio_op *op   = new_op();
	uint32_t  number, last = 0;
	bool      any = false;

	while (atomic_load(&received) < all) {
		int rv = get_number(op, receiver, &number, dice(&seed, 2) ? 20 : 1);
		if (rv == 0) {
			CHECK(!any || number > last);
			any  = true;
			last = number;
			atomic_fetch_add(&received, 1);
		} else {
			EQUAL(rv, NNG_ETIMEDOUT);
		}
	}
	nngio_op_free(op);
	return (NULL);
}

static void
threads_share_what_comes(void)
{
	pthread_t threads[3];

	all = (uint32_t) rounds(10000);
	atomic_store(&received, 0);
	open_pull(8);
	for (int i = 0; i < 3; i++) {
		threads[i] = start(receive_some, (void *) (uintptr_t) (i + 1));
	}
	pthread_t thread = start(send_all, NULL);
	join(thread);
	for (int i = 0; i < 3; i++) {
		join(threads[i]);
	}
	EQUAL(atomic_load(&received), all);
	close_pull();
}

// Receives on a queue that are given up: as in test_queue.c.
static void
what_is_given_up_comes_first(void)
{
	nngio_queue *queue  = nngio_queue_new();
	nngio_op    *ops[2] = { new_op(), new_op() };
	unsigned     seed   = 5;
	uint32_t     next   = 0, tags[2];

	all = (uint32_t) rounds(10000);
	open_pull(2);
	for (unsigned i = 0; i < 2; i++) {
		EQUAL(nngio_op_attach(ops[i], queue, i), 0);
	}
	pthread_t thread = start(send_all, NULL);
	while (next < all) {
		int rv = nngio_begin_recv(ops[0], receiver, dice(&seed, 2) ? -1 : 5000);
		if (rv == 0) {
			EQUAL(number_of(ops[0]), next++);
			continue;
		}
		EQUAL(rv, NNGIO_PENDING);
		if (dice(&seed, 2) != 0) {
			sleep_us((int) dice(&seed, 60));
		}
		nngio_op_give_up(ops[0]);
		rv = nngio_begin_recv(ops[1], receiver, dice(&seed, 2) ? -1 : 5000);
		while (nngio_op_busy(ops[1]) || nngio_op_busy(ops[0])) {
			EQUAL(nngio_queue_wait(queue, 5000), 1);
			nngio_queue_settle(queue, tags, 2);
		}
		EQUAL(number_of(ops[1]), next++);
		nngio_abandon(ops[0], NULL);
	}
	join(thread);
	nngio_op_free(ops[0]);
	nngio_op_free(ops[1]);
	close_pull();
	nngio_queue_free(queue);
}

static void *
close_receiver(void *argument)
{
	nngio_handle_close(receiver);
	return (argument);
}

static void
closing_ends_what_waits(void)
{
	unsigned seed = 9;

	for (int i = 0; i < rounds(1000); i++) {
		nngio_op *waiting[4], *op = new_op();

		open_pull(1 + (int) dice(&seed, 3));
		for (unsigned n = dice(&seed, 3); n > 0; n--) {
			send_number(op, sender, n);
		}
		for (int n = 0; n < 4; n++) {
			waiting[n] = new_op();
			EQUAL(nngio_submit_recv(waiting[n], receiver, n % 2 ? 5000 : -1), 0);
		}
		pthread_t thread = start(close_receiver, NULL);
		(void) try_number(op, sender, 9, 0);
		for (int n = 0; n < 4; n++) {
			int rv = wait_for(waiting[n]);
			CHECK(rv == 0 || rv == NNG_ECLOSED);
			nngio_op_free(waiting[n]);
		}
		join(thread);
		nngio_op_free(op);
		close_pull();
	}
}

int
main(void)
{
	RUN(receives_that_end_early_leave_their_messages_to_the_next);
	RUN(threads_share_what_comes);
	RUN(what_is_given_up_comes_first);
	RUN(closing_ends_what_waits);
	return (0);
}
