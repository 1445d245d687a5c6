// Batches: many messages of one operation, received, given back, handed over and sent.

#include <string.h>

#include "check.h"

static nngio_handle *sender, *receiver;

static void
open_pair(void)
{
	sender   = open_socket(nng_pair0_open, PAIR_FLAGS);
	receiver = open_socket(nng_pair0_open, PAIR_FLAGS);
	nng_socket s = { .id = nngio_handle_id(sender) }, r = { .id = nngio_handle_id(receiver) };
	EQUAL(nng_socket_set_int(s, NNG_OPT_SENDBUF, 100), 0);
	EQUAL(nng_socket_set_int(r, NNG_OPT_RECVBUF, 100), 0);
	connect_both(receiver, sender);
}

static void
close_pair(void)
{
	close_handle(sender);
	close_handle(receiver);
}

// nngio_recv_many, over all its interruptions.
static int
receive_batch(nngio_op *op, int most, int ms)
{
	int rv = nngio_recv_many(op, receiver, most, ms);
	if (rv == NNGIO_AGAIN && (rv = wait_for(op)) == 0) {
		nngio_recv_more(op, most);
	}
	return (rv);
}

// Sends numbers, all in one call as far as there is room.
static void
send_numbers(nngio_op *op, uint32_t first, int n)
{
	uint32_t    numbers[64];
	const void *data[64];
	size_t      len[64];

	for (int i = 0; i < n; i++) {
		numbers[i] = first + (uint32_t) i;
		data[i]    = &numbers[i];
		len[i]     = sizeof(numbers[i]);
	}
	EQUAL(nngio_begin_send_many(op, sender, data, len, n, -1), 0);
	EQUAL(op->count, n);
}

static uint32_t
number_in(nng_msg *msg)
{
	uint32_t number;
	memcpy(&number, nng_msg_body(msg), sizeof(number));
	return (number);
}

// Receives batches until there were `n` messages, and checks that they are numbered from `first` on.
static void
receive_numbers(nngio_op *op, uint32_t first, int n, int most)
{
	nng_msg *msgs[64];

	while (n > 0) {
		EQUAL(receive_batch(op, n < most ? n : most, 5000), 0);
		CHECK(op->count >= 1 && op->count <= most && op->count <= n);
		EQUAL(op->bytes, (size_t) op->count * 4);
		nngio_batch_list(op, msgs);
		for (int i = 0; i < op->count; i++) {
			EQUAL(number_in(msgs[i]), first + (uint32_t) i);
		}
		first += (uint32_t) op->count;
		n -= op->count;
	}
}

static void
a_batch_has_its_messages_in_order(void)
{
	nngio_op *op = new_op();

	open_pair();
	send_numbers(op, 0, 60);
	receive_numbers(op, 0, 60, 7);
	nngio_op_free(op);
	close_pair();
}

static void
a_batch_that_is_given_up_is_received_again(void)
{
	nngio_op *op = new_op(), *other = new_op();

	open_pair();
	send_numbers(op, 0, 60);
	for (int turn = 0; turn < 100; turn++) {
		EQUAL(receive_batch(op, 1 + turn % 20, 5000), 0);
		if (turn % 2 != 0) {
			EQUAL(receive_batch(other, 1 + turn % 7, 5000), 0);
		}
		nngio_abandon(op, NULL); // before the one that has the later messages, or after it
		nngio_abandon(other, NULL);
		nngio_op *swap = op;
		op             = other;
		other          = swap;
	}
	receive_numbers(op, 0, 60, 64);
	nngio_op_free(op);
	nngio_op_free(other);
	close_pair();
}

static void
messages_go_to_boxes_and_come_back(void)
{
	nngio_op  *op = new_op();
	nngio_box *boxes[64];
	int        n;

	open_pair();
	send_numbers(op, 0, 40);
	EQUAL(receive_batch(op, 64, 5000), 0);
	n = op->count;
	for (int i = 0; i < n; i++) {
		boxes[i] = nngio_box_new();
	}
	nngio_batch_take(op, boxes);
	for (int i = 0; i < n; i++) {
		EQUAL(number_in(boxes[i]->msg), i);
	}
	nngio_batch_return(op, boxes);
	nngio_batch_return(op, boxes); // nothing is left to come back
	for (int i = 0; i < n; i++) {
		CHECK(boxes[i]->msg == NULL);
	}
	nngio_abandon(op, NULL);
	EQUAL(receive_batch(op, n, 5000), 0);
	EQUAL(op->count, n);
	nngio_batch_take(op, boxes);
	op->kind = NNGIO_NONE;
	nngio_op_free(op); // has none of them any more
	for (int i = 0; i < n; i++) {
		EQUAL(number_in(boxes[i]->msg), i);
		nngio_box_free(boxes[i]);
	}
	close_pair();
}

static void
a_batch_is_dropped_with_its_operation(void)
{
	nngio_op *op = new_op();

	open_pair();
	send_numbers(op, 0, 40);
	EQUAL(receive_batch(op, 64, 5000), 0);
	op->kind = NNGIO_NONE; // as Python does when it has the bodies
	nngio_op_free(op);
	close_pair();
}

static void
sending_stops_at_the_one_that_has_to_wait(void)
{
	nngio_op   *op = new_op();
	const void *data[3] = { "a", "b", "c" };
	size_t      len[3] = { 1, 1, 1 };

	sender       = open_socket(nng_pair0_open, PAIR_FLAGS);
	nng_socket s = { .id = nngio_handle_id(sender) };
	EQUAL(nng_socket_set_int(s, NNG_OPT_SENDBUF, 2), 0);
	EQUAL(nngio_begin_send_many(op, sender, data, len, 3, -1), NNGIO_PENDING);
	EQUAL(op->count, 2);
	EQUAL(nngio_cancel(op), NNG_ECANCELED);
	EQUAL(op->len, 1);
	EQUAL(*op->body, 'c');
	EQUAL(nngio_begin_send_many(op, sender, data, len, 3, 0), NNG_ETIMEDOUT);
	EQUAL(op->count, 0);
	EQUAL(*op->body, 'a');
	nngio_op_free(op);
	close_handle(sender);
}

// Threads that receive batches and give some of them up, beside each other.
static atomic_int   seen[20000];
static atomic_int   count;
static int          wanted;

static void *
receive_and_give_up(void *arg)
{
	nngio_op *op = new_op();
	nng_msg  *msgs[64];
	unsigned  turn = 0;

	while (atomic_load(&count) < wanted) {
		int rv = receive_batch(op, 1 + (int) (turn++ % 9), 20);
		if (rv != 0) {
			continue;
		}
		if (turn % 3 == 0) {
			nngio_abandon(op, NULL);
			continue;
		}
		nngio_batch_list(op, msgs);
		for (int i = 0; i < op->count; i++) {
			atomic_fetch_add(&seen[number_in(msgs[i])], 1);
		}
		atomic_fetch_add(&count, op->count);
		op->kind = NNGIO_NONE;
	}
	nngio_op_free(op);
	return (arg);
}

static void
threads_share_messages_that_others_give_up(void)
{
	pthread_t threads[3];
	nngio_op *op = new_op();

	wanted = rounds(20000);
	open_pair();
	for (int i = 0; i < 3; i++) {
		threads[i] = start(receive_and_give_up, NULL);
	}
	for (int i = 0; i < wanted; i++) {
		send_number(op, sender, (uint32_t) i);
	}
	for (int i = 0; i < 3; i++) {
		join(threads[i]);
	}
	for (int i = 0; i < wanted; i++) {
		EQUAL(atomic_load(&seen[i]), 1);
	}
	nngio_op_free(op);
	close_pair();
}

int
main(void)
{
	RUN(a_batch_has_its_messages_in_order);
	RUN(a_batch_that_is_given_up_is_received_again);
	RUN(messages_go_to_boxes_and_come_back);
	RUN(a_batch_is_dropped_with_its_operation);
	RUN(sending_stops_at_the_one_that_has_to_wait);
	RUN(threads_share_messages_that_others_give_up);
	return (0);
}
