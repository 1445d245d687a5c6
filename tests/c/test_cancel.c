// Cancels and timeouts against completion: every operation has one outcome, and it is its own.

#include <sched.h>

#include "check.h"

static nngio_handle *sender, *receiver;
static atomic_bool   finished;
static atomic_int    sent, ended;

static void
spin(unsigned turns)
{
	while (turns-- > 0) {
		__asm__ volatile("");
	}
}

// Sends that are cancelled in some moment, on a socket whose peer receives now and then.
static void *
send_and_cancel(void *argument)
{
	unsigned   seed   = (unsigned) (uintptr_t) argument;
	uint32_t   number = seed << 24;
	nngio_op  *op     = new_op();
	nngio_box *box    = nngio_box_new();
	int        all    = rounds(4000);

	for (int i = 0; i < all; i++) {
		int rv;
		if (box->msg == NULL) {
			number++;
			EQUAL(nngio_box_fill(box, &number, sizeof(number)), 0);
		}
		if (dice(&seed, 2)) {
			EQUAL(nngio_submit_send(op, sender, box, dice(&seed, 3) ? -1 : 1), 0);
			spin(dice(&seed, 3000));
			nngio_op_abort(op, NNG_ECANCELED);
			rv = wait_for(op);
		} else {
			rv = nngio_begin_send_box(op, sender, box, -1);
			if (rv == NNGIO_PENDING) {
				spin(dice(&seed, 3000));
				rv = nngio_cancel(op);
			}
		}
		op->kind = NNGIO_NONE;
		if (rv == 0) {
			CHECK(box->msg == NULL);
			atomic_fetch_add(&sent, 1);
		} else {
			CHECK(rv == NNG_ECANCELED || rv == NNG_ETIMEDOUT);
			CHECK(box->msg != NULL);
			EQUAL(nng_msg_len(box->msg), sizeof(number));
			EQUAL(memcmp(nng_msg_body(box->msg), &number, sizeof(number)), 0);
			EQUAL(nng_msg_header_len(box->msg), 0);
		}
	}
	nngio_op_free(op);
	nngio_box_free(box);
	atomic_fetch_add(&ended, 1);
	return (NULL);
}

static void
storm_of_canceled_sends(opener open_sender, uint32_t sender_flags, opener open_receiver)
{
	pthread_t threads[2];
	uint32_t  number, last[2] = { 0, 1 << 24 };
	int       received = 0, idle = 0;
	unsigned  seed = 9;
	nngio_op *op   = new_op();

	atomic_store(&sent, 0);
	atomic_store(&ended, 0);
	sender   = open_socket(open_sender, sender_flags);
	receiver = open_socket(open_receiver, PULL_FLAGS);
	connect_both(receiver, sender);
	for (int i = 0; i < 2; i++) {
		threads[i] = start(send_and_cancel, (void *) (uintptr_t) i);
	}
	while (atomic_load(&ended) < 2 || idle < 20) {
		if (get_number(op, receiver, &number, 1) == 0) {
			// What was reported as unsent was not sent as well: each number once, in order.
			CHECK(number > last[number >> 24]);
			last[number >> 24] = number;
			received++;
			idle = 0;
		} else {
			idle++;
		}
		spin(dice(&seed, 1000));
	}
	EQUAL(received, atomic_load(&sent));
	for (int i = 0; i < 2; i++) {
		join(threads[i]);
	}
	nngio_op_free(op);
	close_handle(sender);
	close_handle(receiver);
}

static void
a_canceled_send_is_sent_or_given_back_on_pair(void)
{
	storm_of_canceled_sends(nng_pair0_open, PAIR_FLAGS, nng_pair0_open);
}

static void
a_canceled_send_is_sent_or_given_back_on_pair1(void)
{
	storm_of_canceled_sends(nng_pair1_open, PAIR_FLAGS, nng_pair1_open);
}

static void
a_canceled_send_is_sent_or_given_back_on_push(void)
{
	storm_of_canceled_sends(nng_push0_open, PUSH_FLAGS, nng_pull0_open);
}

static void
a_canceled_request_is_sent_or_given_back(void)
{
	nngio_handle *req = open_socket(nng_req0_open, REQ_FLAGS);
	nngio_op     *op  = new_op();
	nngio_box    *box = nngio_box_new();
	char          url[64];
	unsigned      seed = 4;
	int           outcomes[2] = { 0, 0 };

	for (int i = 0; i < rounds(300); i++) {
		nngio_handle *rep = open_socket(nng_rep0_open, REP_FLAGS);
		uint32_t      number;
		EQUAL(nngio_box_fill(box, &i, sizeof(i)), 0);
		EQUAL(nngio_submit_send(op, req, box, -1), 0);
		listen_at(rep, fresh_url(url));
		dial_to(req, url); // and by that the request is sent, some time now
		spin(dice(&seed, 100000));
		nngio_op_abort(op, NNG_ECANCELED);
		int rv = wait_for(op);
		if (rv == 0) {
			CHECK(box->msg == NULL);
		} else {
			EQUAL(rv, NNG_ECANCELED);
			EQUAL(memcmp(nng_msg_body(box->msg), &i, sizeof(i)), 0);
			EQUAL(try_box(op, req, box, 5000), 0);
		}
		outcomes[rv == 0]++;
		EQUAL(get_number(op, rep, &number, 5000), 0);
		EQUAL(number, i);
		close_handle(rep);
		op->kind = NNGIO_NONE;
		// Nothing to answer it any more: the next one replaces it.
	}
	nngio_box_free(box);
	nngio_op_free(op);
	close_handle(req);
}

static void *
publish(void *argument)
{
	nngio_op *op = new_op();

	while (!atomic_load(&finished)) {
		send_number(op, sender, 1);
	}
	nngio_op_free(op);
	return (argument);
}

static void *
receive_and_cancel(void *argument)
{
	unsigned  seed = (unsigned) (uintptr_t) argument;
	nngio_op *op   = new_op();

	for (int i = 0; i < rounds(30000); i++) {
		EQUAL(nngio_submit_recv(op, receiver, -1), 0);
		spin(dice(&seed, 3000));
		nngio_op_abort(op, NNG_ECANCELED);
		int rv = wait_for(op);
		CHECK(rv == 0 || rv == NNG_ECANCELED);
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
	}
	nngio_op_free(op);
	return (NULL);
}

static void
a_canceled_receive_on_sub_does_no_harm(void)
{
	pthread_t  threads[3], publisher;
	nng_socket s;

	atomic_store(&finished, false);
	sender   = open_socket(nng_pub0_open, PUB_FLAGS);
	receiver = open_socket(nng_sub0_open, SUB_FLAGS);
	s.id     = nngio_handle_id(receiver);
	EQUAL(nng_socket_set(s, NNG_OPT_SUB_SUBSCRIBE, "", 0), 0);
	connect_both(sender, receiver);
	publisher = start(publish, NULL);
	for (int i = 0; i < 3; i++) {
		threads[i] = start(receive_and_cancel, (void *) (uintptr_t) i);
	}
	for (int i = 0; i < 3; i++) {
		join(threads[i]);
	}
	atomic_store(&finished, true);
	join(publisher);
	close_handle(sender);
	close_handle(receiver);
}

static void *
burn(void *argument)
{
	while (!atomic_load(&finished)) {
	}
	return (argument);
}

static void *
send_around_the_timeout(void *argument)
{
	nngio_op *op   = new_op();
	unsigned  seed = 5;

	while (!atomic_load(&finished)) {
		EQUAL(try_number(op, sender, 1, 1000), 0);
		sleep_us(900 + (int) dice(&seed, 1300));
	}
	nngio_op_free(op);
	return (argument);
}

// On a machine with more to do than processors, NNG's timer thread takes long from its look at the clock to
// the cancel, and meant the operation before.
static void
a_timeout_ends_only_the_operation_that_it_is_of(void)
{
	pthread_t threads[5];
	nngio_op *op = new_op();

	atomic_store(&finished, false);
	sender   = open_socket(nng_pair0_open, PAIR_FLAGS);
	receiver = open_socket(nng_pair0_open, PAIR_FLAGS);
	connect_both(sender, receiver);
	threads[0] = start(send_around_the_timeout, NULL);
	for (int i = 1; i < 5; i++) {
		threads[i] = start(burn, NULL);
	}
	for (int i = 0; i < rounds(3000); i++) {
		EQUAL(nngio_submit_recv(op, receiver, 2), 0);
		int rv = wait_for(op);
		CHECK(rv == 0 || rv == NNG_ETIMEDOUT);
		nngio_op_drop(op);
		EQUAL(nngio_submit_recv(op, receiver, -1), 0);
		EQUAL(wait_for(op), 0);
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
	}
	atomic_store(&finished, true);
	nngio_op *rest = new_op();
	EQUAL(nngio_submit_recv(rest, receiver, 100), 0); // for the sender not to wait
	for (int i = 0; i < 5; i++) {
		join(threads[i]);
	}
	wait_for(rest);
	nngio_op_free(rest);
	nngio_op_free(op);
	close_handle(sender);
	close_handle(receiver);
}

static void
a_timeout_after_a_sleep_is_a_timeout(void)
{
	nngio_op  *op  = new_op();
	nngio_box *box = nngio_box_new();

	sender = open_socket(nng_pair0_open, PAIR_FLAGS);
	for (int i = 0; i < 3; i++) {
		EQUAL(nngio_submit_sleep(op, 1, -1), 0);
		EQUAL(wait_for(op), 0);
		EQUAL(nngio_submit_recv(op, sender, 5), 0);
		EQUAL(wait_for(op), NNG_ETIMEDOUT);
		EQUAL(nngio_submit_sleep(op, 1000, 1), 0);
		EQUAL(wait_for(op), NNG_ETIMEDOUT);
		EQUAL(nngio_submit_sleep(op, 10000, -1), 0);
		nngio_op_abort(op, NNG_ETIMEDOUT);
		EQUAL(wait_for(op), NNG_ETIMEDOUT);
		EQUAL(nngio_box_fill(box, "x", 1), 0);
		EQUAL(nngio_submit_send(op, sender, box, 5), 0);
		EQUAL(wait_for(op), NNG_ETIMEDOUT);
		CHECK(box->msg != NULL);
	}
	nngio_box_free(box);
	nngio_op_free(op);
	close_handle(sender);
}

static void
an_operation_dropped_in_any_state_comes_to_its_end(void)
{
	unsigned seed = 2;

	for (int i = 0; i < rounds(3000); i++) {
		nngio_op  *op  = new_op();
		nngio_box *box = nngio_box_new();
		nngio_handle *h = open_socket(nng_pair0_open, PAIR_FLAGS);
		switch (dice(&seed, 3)) {
		case 0:
			EQUAL(nngio_submit_recv(op, h, dice(&seed, 2) ? -1 : 1), 0);
			break;
		case 1:
			EQUAL(nngio_box_fill(box, "x", 1), 0);
			EQUAL(nngio_submit_send(op, h, box, dice(&seed, 2) ? -1 : 1), 0);
			break;
		case 2:
			EQUAL(nngio_submit_sleep(op, 1, -1), 0);
			break;
		}
		spin(dice(&seed, 100000));
		nngio_op_free(op);
		nngio_box_free(box);
		close_handle(h);
	}
}

// Whose aio NNG's timer may still be about to cancel: it outlives the operation, but not the socket.
static void
an_operation_dropped_when_its_time_is_up_comes_to_its_end(void)
{
	unsigned seed = 3;

	for (int i = 0; i < rounds(3000); i++) {
		nngio_op     *op = new_op();
		nngio_handle *h  = open_socket(nng_pair0_open, PAIR_FLAGS);
		nng_time      begun = nng_clock();
		EQUAL(nngio_submit_recv(op, h, 1), 0);
		while (nng_clock() == begun) {
		}
		spin(dice(&seed, 20000));
		nngio_op_free(op);
		close_handle(h);
	}
}

int
main(void)
{
	RUN(a_timeout_after_a_sleep_is_a_timeout);
	RUN(an_operation_dropped_in_any_state_comes_to_its_end);
	RUN(an_operation_dropped_when_its_time_is_up_comes_to_its_end);
	RUN(a_canceled_send_is_sent_or_given_back_on_pair);
	RUN(a_canceled_send_is_sent_or_given_back_on_pair1);
	RUN(a_canceled_send_is_sent_or_given_back_on_push);
	RUN(a_canceled_request_is_sent_or_given_back);
	RUN(a_canceled_receive_on_sub_does_no_harm);
	RUN(a_timeout_ends_only_the_operation_that_it_is_of);
	return (0);
}
