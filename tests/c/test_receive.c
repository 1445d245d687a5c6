// Receives that are given up: nothing that had arrived is lost, and nothing stale is delivered.

#include <sched.h>
#include <string.h>

#include "check.h"

static nngio_handle *sender, *receiver;
static atomic_int   *seen;
static atomic_int    count;
static atomic_bool   finished;

static void
open_pair(void)
{
	sender   = open_socket(nng_pair0_open, PAIR_FLAGS);
	receiver = open_socket(nng_pair0_open, PAIR_FLAGS);
	connect_both(receiver, sender);
}

static void
close_pair(void)
{
	close_handle(sender);
	close_handle(receiver);
}

// A receive that is done, and that nobody has looked at.
static nngio_op *
received(nngio_handle *h)
{
	nngio_op *op = new_op();
	EQUAL(nngio_submit_recv(op, h, 5000), 0);
	EQUAL(wait_for(op), 0);
	return (op);
}

static void
a_message_of_an_abandoned_receive_is_the_next_ones(void)
{
	nngio_op *op = new_op(), *other;
	uint32_t  number;

	open_pair();
	send_number(op, sender, 1);
	other = received(receiver);
	nngio_abandon(other, NULL);
	EQUAL(nngio_handle_parked(receiver), 1);
	send_number(op, sender, 2);
	EQUAL(get_number(op, receiver, &number, 1000), 0);
	EQUAL(number, 1);
	EQUAL(get_number(op, receiver, &number, 1000), 0);
	EQUAL(number, 2);
	nngio_op_free(op);
	nngio_op_free(other);
	close_pair();
}

static void
a_receive_that_waits_gets_what_another_gives_back(void)
{
	nngio_op *op = new_op();

	open_pair();
	for (int i = 0; i < rounds(2000); i++) {
		send_number(op, sender, (uint32_t) i);
		nngio_op *first = received(receiver), *second = new_op(), *third = new_op();
		EQUAL(nngio_submit_recv(second, receiver, -1), 0);
		EQUAL(nngio_submit_recv(third, receiver, -1), 0);
		nngio_abandon(first, NULL);
		EQUAL(wait_for(second), 0);
		EQUAL(number_of(second), i);
		CHECK(nngio_op_busy(third));
		nngio_op_drop(second);
		nngio_op_free(first);
		nngio_op_free(second);
		nngio_abandon(third, NULL);
		nngio_op_free(third);
	}
	nngio_op_free(op);
	close_pair();
}

// Receives at random in one of the ways there are, and gives a third of it up in some moment.
static void *
receive_or_give_up(void *argument)
{
	unsigned  seed = (unsigned) (uintptr_t) argument;
	uint32_t  number;
	nngio_box *box = nngio_box_new();
	nngio_op *op  = new_op();

	while (!atomic_load(&finished)) {
		bool got = false;
		int  rv;
		switch (dice(&seed, 4)) {
		case 0:
			rv  = nngio_recv(op, receiver, 5);
			got = (rv == NNGIO_AGAIN ? wait_for(op) : rv) == 0;
			break;
		case 1:
			EQUAL(nngio_submit_recv(op, receiver, -1), 0);
			for (unsigned i = dice(&seed, 2000); i > 0; i--) {
				__asm__ volatile("");
			}
			nngio_op_abort(op, NNG_ECANCELED);
			got = wait_for(op) == 0;
			break;
		case 2:
			EQUAL(nngio_submit_recv(op, receiver, -1), 0);
			for (unsigned i = dice(&seed, 2000); i > 0; i--) {
				__asm__ volatile("");
			}
			nngio_abandon(op, NULL);
			break;
		case 3: // an orphan
			EQUAL(nngio_submit_recv(op, receiver, -1), 0);
			nngio_op_free(op);
			op = new_op();
			break;
		}
		if (got) {
			number = number_of(op);
			nngio_op_take(op, box);
			if (dice(&seed, 3) == 0) {
				op->kind = NNGIO_RECV;
				nngio_abandon(op, box); // interrupted before anybody saw the message
				CHECK(box->msg == NULL);
			} else {
				EQUAL(atomic_fetch_add(&seen[number], 1), 0);
				atomic_fetch_add(&count, 1);
			}
		}
		op->kind = NNGIO_NONE;
	}
	nngio_op_free(op);
	nngio_box_free(box);
	return (NULL);
}

static void
no_message_is_lost_or_received_twice(void)
{
	int       all = rounds(20000);
	pthread_t threads[3];
	nngio_op *op = new_op();

	seen = calloc((size_t) all, sizeof(*seen));
	atomic_store(&count, 0);
	atomic_store(&finished, false);
	open_pair();
	for (int i = 0; i < 3; i++) {
		threads[i] = start(receive_or_give_up, (void *) (uintptr_t) i);
	}
	for (int i = 0; i < all; i++) {
		send_number(op, sender, (uint32_t) i);
	}
	for (int i = 0; i < 50000 && atomic_load(&count) < all; i++) {
		sleep_us(100);
	}
	EQUAL(atomic_load(&count), all);
	atomic_store(&finished, true);
	for (int i = 0; i < 3; i++) {
		join(threads[i]);
	}
	EQUAL(nngio_handle_parked(receiver), 0);
	nngio_op_free(op);
	free(seen);
	close_pair();
}

// The receive that is told to fetch the parked message gets one of its own in that moment: then another one
// has to be told.
static void
a_parked_message_goes_on_to_a_receive_that_needs_it(void)
{
	nngio_op *first = new_op(), *second = new_op(), *given_up = new_op();
	nng_msg  *msg, *own;
	int       aborted;

	open_pair();
	EQUAL(op_begin(first, receiver, NNGIO_RECV), 0);
	pending_add(first); // as if NNG had it
	EQUAL(nngio_submit_recv(second, receiver, -1), 0);
	EQUAL(nng_msg_alloc(&msg, 4), 0);
	EQUAL(op_begin(given_up, receiver, NNGIO_RECV), 0);
	given_up->msg = msg;
	op_park(given_up);
	CHECK(!settle_soon(second, 20));
	EQUAL(nng_msg_alloc(&own, 0), 0);
	CHECK(pending_remove(first, &first->aio, &own, &aborted)); // what the callback does with a message of its own
	EQUAL(nng_msg_len(own), 0);
	nng_msg_free(own);
	EQUAL(wait_for(second), 0);
	EQUAL(second->len, 4);
	nngio_op_drop(second);
	nngio_op_free(first);
	nngio_op_free(second);
	nngio_op_free(given_up);
	close_pair();
}

// Callers go in any order; the messages that they leave are received in the order in which NNG gave them out.
static void
parked_messages_are_received_in_the_order_of_their_receives(void)
{
	nngio_op *ops[5], *op = new_op();
	nng_msg  *newer;
	int       aborted;

	open_pair();
	for (int i = 0; i < 5; i++) {
		ops[i] = new_op();
		EQUAL(nngio_submit_recv(ops[i], receiver, -1), 0);
	}
	for (uint32_t i = 0; i < 4; i++) {
		send_number(op, sender, i);
		while (!settle_soon(ops[i], 20)) {
		}
	}
	nngio_abandon(ops[4], NULL);
	for (int i = 3; i >= 2; i--) {
		nngio_abandon(ops[i], NULL);
	}
	nngio_abandon(ops[0], NULL);
	EQUAL(nngio_recv(op, receiver, 0), 0);
	EQUAL(number_of(op), 0);
	nngio_abandon(op, NULL); // it goes back to its place
	nngio_abandon(ops[1], NULL);
	for (uint32_t i = 0; i < 3; i++) {
		EQUAL(nngio_recv(op, receiver, 0), 0);
		EQUAL(number_of(op), i);
	}
	// A receive that NNG has given a later message gets the older one, and leaves its own.
	EQUAL(op_begin(ops[0], receiver, NNGIO_RECV), 0);
	pending_add(ops[0]); // as if NNG had it
	EQUAL(nng_msg_alloc(&newer, sizeof(uint32_t)), 0);
	memcpy(nng_msg_body(newer), &(uint32_t){ 4 }, sizeof(uint32_t));
	pending_remove(ops[0], &ops[0]->aio, &newer, &aborted);
	op_keep(ops[0], newer);
	EQUAL(number_of(ops[0]), 3);
	nngio_op_drop(ops[0]);
	EQUAL(nngio_recv(op, receiver, 0), 0);
	EQUAL(number_of(op), 4);
	nngio_op_drop(op);
	nngio_op_free(op);
	for (int i = 0; i < 5; i++) {
		nngio_op_free(ops[i]);
	}
	close_pair();
}

// Two messages and three receives that wait: what the loop's thread left undone when it stopped.
static void
a_loop_that_stands_still_lends_its_receives_in_order(void)
{
	nngio_queue *queue = nngio_queue_new();
	nngio_op    *ops[5], *shuffled[5], *op = new_op();
	uint32_t     tags[8];

	open_pair();
	for (int i = 0; i < 5; i++) {
		ops[i] = new_op();
		nngio_op_attach(ops[i], queue, (uint64_t) i);
		EQUAL(nngio_begin_recv(ops[i], receiver, -1), NNGIO_PENDING);
		shuffled[(i + 3) % 5] = ops[i];
	}
	send_number(op, sender, 0);
	while (nngio_queue_settle(queue, tags, 1) != 1) { // two at a time may finish in either order, on two threads
	}
	EQUAL(tags[0], 0);
	send_number(op, sender, 1);
	nngio_queue_put_back(queue, ops, 1); // it came to be resumed, but the loop stopped before that
	while (atomic_load(&ops[1]->state) != OP_QUEUED) {
		sleep_us(100);
	}
	EQUAL(nngio_handle_on_loops(receiver), 5);
	EQUAL(nngio_recv(op, receiver, 0), NNGIO_LOOK);
	nngio_lend(queue, shuffled, 5);
	EQUAL(nngio_handle_on_loops(receiver), 0);
	EQUAL(nngio_recv(op, receiver, 0), 0);
	EQUAL(number_of(op), 0);
	EQUAL(nngio_recv(op, receiver, 0), 0);
	EQUAL(number_of(op), 1);
	EQUAL(nngio_queue_settle(queue, tags, 8), 5);
	for (uint32_t i = 0; i < 5; i++) {
		EQUAL(tags[i], i);
	}
	nngio_op_drop(op);
	nngio_op_free(op);
	for (int i = 0; i < 5; i++) {
		nngio_op_free(ops[i]);
	}
	nngio_queue_free(queue);
	close_pair();
}

static int turns;

// Always one receive at a time, for ever: it must not be left waiting while a message is parked.
static void *
receive_patiently(void *argument)
{
	nngio_op *op = new_op();

	while (atomic_load(&count) < turns * 2) {
		if (nngio_submit_recv(op, receiver, -1) != 0) {
			break;
		}
		if (wait_for(op) != 0) {
			break;
		}
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
		atomic_fetch_add(&count, 1);
	}
	nngio_op_free(op);
	return (argument);
}

static void
no_receive_waits_beside_a_parked_message(void)
{
	pthread_t threads[2];
	nngio_op *op = new_op();

	turns = rounds(10000);
	atomic_store(&count, 0);
	open_pair();
	for (int i = 0; i < 2; i++) {
		threads[i] = start(receive_patiently, NULL);
	}
	for (int i = 0; i < turns; i++) {
		nng_msg *msg;
		uint32_t number = 0;
		send_number(op, sender, 1);
		// As if a receive had ended here, beside the others.
		EQUAL(nng_msg_alloc(&msg, sizeof(number)), 0);
		EQUAL(op_begin(op, receiver, NNGIO_RECV), 0);
		op->msg = msg;
		op_park(op);
		op->kind = NNGIO_NONE;
		for (int j = 0; j < 50000 && atomic_load(&count) < 2 * i; j++) {
			sched_yield();
		}
	}
	for (int i = 0; i < 20000 && atomic_load(&count) < turns * 2; i++) {
		sleep_us(100);
	}
	EQUAL(atomic_load(&count), turns * 2);
	close_pair();
	for (int i = 0; i < 2; i++) {
		join(threads[i]);
	}
	nngio_op_free(op);
}

static void
a_reply_to_the_request_before_is_never_delivered(void)
{
	nngio_handle *req = open_socket(nng_req0_open, REQ_FLAGS);
	nngio_handle *rep = open_socket(nng_rep0_open, REP_FLAGS);
	nngio_op     *op  = new_op();
	uint32_t      number;

	connect_both(rep, req);
	for (int i = 0; i < rounds(1000); i++) {
		send_number(op, req, (uint32_t) i);
		EQUAL(get_number(op, rep, &number, 5000), 0);
		send_number(op, rep, number);
		nngio_op *reply = received(req);
		send_number(op, req, (uint32_t) i + 1000000);
		nngio_abandon(reply, NULL); // too late: this is the other request's time
		nngio_op_free(reply);
		EQUAL(nngio_handle_parked(req), 0);
		EQUAL(get_number(op, rep, &number, 5000), 0);
		send_number(op, rep, number);
		EQUAL(get_number(op, req, &number, 5000), 0);
		EQUAL(number, i + 1000000);
	}
	nngio_op_free(op);
	close_handle(req);
	close_handle(rep);
}

static void
a_request_that_was_given_up_for_the_next_one_is_not_answered(void)
{
	nngio_handle *one = open_socket(nng_req0_open, REQ_FLAGS);
	nngio_handle *two = open_socket(nng_req0_open, REQ_FLAGS);
	nngio_handle *rep = open_socket(nng_rep0_open, REP_FLAGS);
	nngio_op     *op  = new_op();
	char          url[64];
	uint32_t      number;

	listen_at(rep, fresh_url(url));
	dial_to(one, url);
	dial_to(two, url);
	for (int i = 0; i < rounds(500); i++) {
		send_number(op, one, 1);
		nngio_op *first = received(rep);
		EQUAL(number_of(first), 1);
		send_number(op, two, 2);
		nngio_op *second = received(rep);
		EQUAL(number_of(second), 2);
		nngio_op_drop(second);
		nngio_abandon(first, NULL); // NNG could only answer the second by now
		EQUAL(nngio_handle_parked(rep), 0);
		send_number(op, rep, 22);
		EQUAL(get_number(op, two, &number, 5000), 0);
		EQUAL(number, 22);
		EQUAL(get_number(op, rep, &number, 0), NNG_ETIMEDOUT);
		nngio_op_free(first);
		nngio_op_free(second);
		// The first is free to ask again.
		send_number(op, one, 3);
		EQUAL(get_number(op, rep, &number, 5000), 0);
		EQUAL(number, 3);
		EQUAL(try_number(op, rep, 33, 1000), 0);
		EQUAL(get_number(op, one, &number, 5000), 0);
		EQUAL(number, 33);
	}
	nngio_op_free(op);
	close_handle(one);
	close_handle(two);
	close_handle(rep);
}

static void
a_request_that_nobody_has_seen_is_not_answered(void)
{
	nngio_handle *req = open_socket(nng_req0_open, REQ_FLAGS);
	nngio_handle *rep = open_socket(nng_rep0_open, REP_FLAGS);
	nngio_op     *op  = new_op();
	uint32_t      number;

	connect_both(rep, req);
	send_number(op, req, 1);
	nngio_op *request = received(rep);
	nngio_op_free(request); // not looked at: it is parked
	EQUAL(nngio_handle_parked(rep), 1);
	EQUAL(try_number(op, rep, 2, 100), NNG_ESTATE);
	EQUAL(get_number(op, rep, &number, 1000), 0);
	EQUAL(number, 1);
	send_number(op, rep, 2);
	EQUAL(get_number(op, req, &number, 5000), 0);
	EQUAL(number, 2);
	nngio_op_free(op);
	close_handle(req);
	close_handle(rep);
}

static void
an_answer_that_is_given_back_does_not_end_the_survey(void)
{
	nngio_handle *surveyor = open_socket(nng_surveyor0_open, SURVEYOR_FLAGS);
	nngio_handle *one      = open_socket(nng_respondent0_open, RESPONDENT_FLAGS);
	nngio_handle *two      = open_socket(nng_respondent0_open, RESPONDENT_FLAGS);
	nng_socket    s        = { .id = nngio_handle_id(surveyor) };
	nngio_op     *op       = new_op(), *waiting = new_op();
	char          url[64];
	uint32_t      number;

	EQUAL(nng_socket_set_ms(s, NNG_OPT_SURVEYOR_SURVEYTIME, 5000), 0);
	listen_at(surveyor, fresh_url(url));
	dial_to(one, url);
	dial_to(two, url);
	int rv = NNG_ETIMEDOUT;
	while (rv != 0) { // until both have their pipe
		send_number(op, surveyor, 1);
		rv = get_number(op, one, &number, 100);
		rv = get_number(op, two, &number, 100) != 0 ? NNG_ETIMEDOUT : rv;
	}
	send_number(op, one, 11);
	nngio_op *first = received(surveyor);
	EQUAL(number_of(first), 11);
	EQUAL(nngio_submit_recv(waiting, surveyor, -1), 0);
	nngio_abandon(first, NULL);
	send_number(op, two, 22);
	EQUAL(wait_for(waiting), 0);
	EQUAL(number_of(waiting), 11); // the one that came first
	EQUAL(get_number(op, surveyor, &number, 1000), 0);
	EQUAL(number, 22);
	nngio_op_free(first);
	nngio_op_drop(waiting);
	nngio_op_free(waiting);
	nngio_op_free(op);
	close_handle(surveyor);
	close_handle(one);
	close_handle(two);
}

int
main(void)
{
	RUN(a_message_of_an_abandoned_receive_is_the_next_ones);
	RUN(a_receive_that_waits_gets_what_another_gives_back);
	RUN(no_message_is_lost_or_received_twice);
	RUN(a_parked_message_goes_on_to_a_receive_that_needs_it);
	RUN(parked_messages_are_received_in_the_order_of_their_receives);
	RUN(a_loop_that_stands_still_lends_its_receives_in_order);
	RUN(no_receive_waits_beside_a_parked_message);
	RUN(a_reply_to_the_request_before_is_never_delivered);
	RUN(a_request_that_was_given_up_for_the_next_one_is_not_answered);
	RUN(a_request_that_nobody_has_seen_is_not_answered);
	RUN(an_answer_that_is_given_back_does_not_end_the_survey);
	return (0);
}
