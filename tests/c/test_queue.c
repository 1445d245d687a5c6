// The completion queue: many push, one drains.

#include <poll.h>

#include "check.h"

#define PUSHERS 4

static nngio_queue *queue;
static atomic_int   met;
static int          each;

// Operations as NNG's callbacks leave them, without NNG.
static nngio_op *
finished_op(uint64_t tag)
{
	nngio_op *op = new_op();
	EQUAL(nngio_op_attach(op, queue, tag), 0);
	op_pending(op);
	return (op);
}

static void *
push_all(void *argument)
{
	uint64_t   pusher = (uint64_t) (uintptr_t) argument;
	nngio_op **ops    = malloc(sizeof(*ops) * (size_t) each);
	unsigned   seed   = (unsigned) pusher;

	for (int i = 0; i < each; i++) {
		ops[i] = finished_op(pusher << 32 | (unsigned) i);
	}
	meet(&met, PUSHERS + 1);
	for (int i = 0; i < each; i++) {
		op_complete(ops[i], 0);
		if (dice(&seed, 50) == 0) {
			sleep_us(100);
		}
	}
	free(ops);
	return (NULL);
}

// Whether the descriptor rings, and what it has, to be asked after each batch.
static int
drain(nngio_op **ops, int max)
{
	if (nngio_queue_wait(queue, 2000) != 1) {
		return (0);
	}
	return (nngio_queue_drain(queue, ops, max));
}

static void
all_that_four_threads_push_is_drained_once_and_in_order(void)
{
	pthread_t threads[PUSHERS];
	nngio_op *ops[7];
	int       next[PUSHERS] = { 0 };
	int       count         = 0;

	each  = rounds(20000);
	queue = nngio_queue_new();
	atomic_store(&met, 0);
	for (int i = 0; i < PUSHERS; i++) {
		threads[i] = start(push_all, (void *) (uintptr_t) i);
	}
	meet(&met, PUSHERS + 1);
	while (count < each * PUSHERS) {
		int n = drain(ops, 7);
		CHECK(n > 0 || count == each * PUSHERS);
		for (int i = 0; i < n; i++) {
			uint64_t tag = nngio_op_tag(ops[i]);
			CHECK(nngio_op_busy(ops[i]));
			nngio_op_settle(ops[i]);
			CHECK(!nngio_op_busy(ops[i]));
			EQUAL(tag & 0xffffffff, next[tag >> 32]);
			next[tag >> 32]++;
			nngio_op_free(ops[i]);
			count++;
		}
	}
	for (int i = 0; i < PUSHERS; i++) {
		join(threads[i]);
	}
	EQUAL(nngio_queue_wait(queue, 0), 0);
	nngio_queue_free(queue);
}

static void
a_settled_batch_leaves_the_descriptor_readable_when_there_is_more(void)
{
	nngio_op *ops[10];
	uint32_t  tags[4];

	queue             = nngio_queue_new();
	struct pollfd pfd = { .fd = nngio_queue_fd(queue), .events = POLLIN };
	for (unsigned i = 0; i < 10; i++) {
		ops[i] = finished_op(i);
		op_complete(ops[i], 0);
	}
	for (unsigned got = 0; got < 10;) {
		EQUAL(poll(&pfd, 1, 0), 1);
		int n = nngio_queue_settle(queue, tags, 4);
		EQUAL(n, got < 8 ? 4 : 2);
		for (int i = 0; i < n; i++) {
			EQUAL(tags[i], got++);
		}
	}
	EQUAL(nngio_queue_settle(queue, tags, 4), 0);
	EQUAL(poll(&pfd, 1, 0), 0);
	for (int i = 0; i < 10; i++) {
		CHECK(!nngio_op_busy(ops[i]));
		nngio_op_free(ops[i]);
	}
	nngio_queue_free(queue);
}

static void *
wake_once(void *argument)
{
	sleep_us(2000);
	nngio_queue_wake(queue);
	return (argument);
}

static void
a_wake_ends_a_wait_on_an_empty_queue(void)
{
	nngio_op *op;

	queue            = nngio_queue_new();
	pthread_t thread = start(wake_once, NULL);
	EQUAL(nngio_queue_wait(queue, 10000), 1);
	EQUAL(nngio_queue_drain(queue, &op, 1), 0);
	EQUAL(nngio_queue_wait(queue, 0), 0);
	join(thread);
	nngio_queue_free(queue);
}

// An operation whose owner lets go of it while it is pending, and of the queue.
static void
operations_that_were_dropped_with_their_queue_are_recycled(void)
{
	for (int i = 0; i < rounds(2000); i++) {
		queue           = nngio_queue_new();
		nngio_handle *h = open_socket(nng_pull0_open, PULL_FLAGS);
		nngio_op     *op = new_op();
		EQUAL(nngio_op_attach(op, queue, 0), 0);
		EQUAL(nngio_begin_recv(op, h, -1), NNGIO_PENDING);
		nngio_op_free(op);
		nngio_queue_free(queue);
		close_handle(h);
	}
}

static nngio_handle *sender, *receiver;

static void *
send_all(void *argument)
{
	nngio_op *op = new_op();

	for (int i = 0; i < each; i++) {
		send_number(op, sender, (uint32_t) i);
	}
	nngio_op_free(op);
	return (argument);
}

// Receives into one operation, while the other one may still have to come out of the queue.
static uint32_t
receive_into(nngio_op **ops, unsigned tag)
{
	uint32_t tags[2];
	bool     seen = nngio_begin_recv(ops[tag], receiver, -1) == 0;

	while (!seen) {
		EQUAL(nngio_queue_wait(queue, 5000), 1);
		for (int n = nngio_queue_settle(queue, tags, 2); n-- > 0;) {
			if (tags[n] == tag) {
				EQUAL(ops[tag]->result, 0);
				seen = true;
			}
		}
	}
	return (number_of(ops[tag]));
}

// The last operation that was given up may not have come out of the queue yet when the next is begun.
static void
what_a_receive_that_is_given_up_was_given_comes_first(void)
{
	nngio_op *ops[2] = { new_op(), new_op() };
	unsigned  seed   = 5;
	uint32_t  next   = 0, tags[2];

	each     = rounds(20000);
	queue    = nngio_queue_new();
	sender   = open_socket(nng_pair0_open, PAIR_FLAGS);
	receiver = open_socket(nng_pair0_open, PAIR_FLAGS);
	connect_both(receiver, sender);
	for (unsigned i = 0; i < 2; i++) {
		EQUAL(nngio_op_attach(ops[i], queue, i), 0);
	}
	pthread_t thread = start(send_all, NULL);
	while (next < (uint32_t) each) {
		if (nngio_begin_recv(ops[0], receiver, -1) == 0) {
			EQUAL(number_of(ops[0]), next++);
			continue;
		}
		for (unsigned turns = dice(&seed, 3000); turns > 0; turns--) {
			__asm__ volatile("");
		}
		if (dice(&seed, 8) == 0) {
			sleep_us(100);
		}
		nngio_op_give_up(ops[0]);
		if (dice(&seed, 4) == 0) {
			nngio_op_give_up(ops[0]); // does nothing
		}
		EQUAL(receive_into(ops, 1), next++);
		while (nngio_op_busy(ops[0])) {
			EQUAL(nngio_queue_wait(queue, 5000), 1);
			nngio_queue_settle(queue, tags, 2);
		}
		nngio_abandon(ops[0], NULL);
	}
	join(thread);
	nngio_op_free(ops[0]);
	nngio_op_free(ops[1]);
	close_handle(sender);
	close_handle(receiver);
	nngio_queue_free(queue);
}

int
main(void)
{
	RUN(what_a_receive_that_is_given_up_was_given_comes_first);
	RUN(all_that_four_threads_push_is_drained_once_and_in_order);
	RUN(a_settled_batch_leaves_the_descriptor_readable_when_there_is_more);
	RUN(a_wake_ends_a_wait_on_an_empty_queue);
	RUN(operations_that_were_dropped_with_their_queue_are_recycled);
	return (0);
}
