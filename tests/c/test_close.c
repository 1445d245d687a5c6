// Closing while others send, receive, cancel, time out, dial, and look at options.

#include "check.h"

#define THREADS 8

static nngio_handle *target, *peer, *context;
static atomic_int    met;
static int           send_ms, recv_ms;

static void
spin(unsigned turns)
{
	while (turns-- > 0) {
		__asm__ volatile("");
	}
}

static bool
expected(int rv)
{
	return (rv == 0 || rv == NNG_ETIMEDOUT || rv == NNG_ESTATE || rv == NNG_ECANCELED);
}

static void *
send_until_closed(void *argument)
{
	nngio_op *op = new_op();
	int       rv;

	if ((uintptr_t) argument % 4 == 0) {
		op->slice_ms = -1; // as on a thread that is not Python's main one
	}
	meet(&met, THREADS + 1);
	while (expected(rv = try_number(op, target, 1, send_ms))) {
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
	}
	EQUAL(rv, NNG_ECLOSED);
	EQUAL(op->len, 4); // the message is handed back
	nngio_op_free(op);
	return (NULL);
}

static void *
receive_until_closed(void *argument)
{
	nngio_op *op = new_op();
	int       rv;

	meet(&met, THREADS + 1);
	for (;;) {
		if ((uintptr_t) argument % 4 == 1) {
			EQUAL(nngio_submit_recv(op, target, recv_ms), 0);
			rv = wait_for(op);
		} else {
			rv = nngio_recv(op, target, recv_ms);
			rv = rv == NNGIO_AGAIN ? wait_for(op) : rv;
		}
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
		if (!expected(rv)) {
			break;
		}
	}
	EQUAL(rv, NNG_ECLOSED);
	nngio_op_free(op);
	return (NULL);
}

static void *
echo_until_closed(void *argument)
{
	nngio_op *op       = new_op();
	bool      sends    = argument != nng_pull0_open;
	bool      receives = argument != nng_push0_open;
	uint32_t  number   = 0;
	int       rv;

	while (expected(rv = receives ? get_number(op, peer, &number, 10) : 0) &&
	    expected(rv = sends ? try_number(op, peer, number, 10) : 0)) {
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
	}
	EQUAL(rv, NNG_ECLOSED);
	nngio_op_free(op);
	return (argument);
}

static void
close_under_threads(opener open_target, uint32_t flags, opener open_peer, uint32_t peer_flags, int times)
{
	unsigned seed = 1;

	for (int i = 0; i < rounds(times); i++) {
		pthread_t threads[THREADS], echo;
		bool      sends = open_target != nng_pull0_open && open_target != nng_sub0_open;
		bool      both  = sends && open_target != nng_push0_open;

		send_ms = i % 3 == 0 ? -1 : 1;
		recv_ms = i % 2 == 0 ? -1 : 1;
		target  = open_socket(open_target, flags);
		peer    = open_socket(open_peer, peer_flags);
		connect_both(target, peer);
		atomic_store(&met, 0);
		for (uintptr_t t = 0; t < THREADS; t++) {
			bool send  = sends && (!both || t % 2 == 0);
			threads[t] = start(send ? send_until_closed : receive_until_closed, (void *) t);
		}
		echo = start(echo_until_closed, open_peer);
		meet(&met, THREADS + 1);
		if (dice(&seed, 3) != 0) {
			sleep_us((int) dice(&seed, 3000)); // around the timeouts
		}
		EQUAL(nngio_handle_close(target), 0);
		for (int t = 0; t < THREADS; t++) {
			join(threads[t]);
		}
		EQUAL(nngio_handle_close(target), NNG_ECLOSED);
		nngio_handle_free(target);
		nngio_handle_close(peer);
		join(echo);
		nngio_handle_free(peer);
	}
}

static void
eight_threads_on_a_pair_that_closes(void)
{
	close_under_threads(nng_pair0_open, PAIR_FLAGS, nng_pair0_open, PAIR_FLAGS, 150);
	close_under_threads(nng_pair1_open, PAIR_FLAGS, nng_pair1_open, PAIR_FLAGS, 150);
}

static void
eight_threads_on_a_req_that_closes(void)
{
	close_under_threads(nng_req0_open, REQ_FLAGS, nng_rep0_open, REP_FLAGS, 200);
}

static void
eight_threads_on_a_rep_that_closes(void)
{
	close_under_threads(nng_rep0_open, REP_FLAGS, nng_req0_open, REQ_FLAGS, 200);
}

static void
eight_threads_on_a_survey_that_closes(void)
{
	close_under_threads(nng_surveyor0_open, SURVEYOR_FLAGS, nng_respondent0_open, RESPONDENT_FLAGS, 100);
	close_under_threads(nng_respondent0_open, RESPONDENT_FLAGS, nng_surveyor0_open, SURVEYOR_FLAGS, 100);
}

static void
eight_threads_on_a_bus_that_closes(void)
{
	close_under_threads(nng_bus0_open, BUS_FLAGS, nng_bus0_open, BUS_FLAGS, 150);
}

static void
eight_threads_on_a_push_or_pull_that_closes(void)
{
	close_under_threads(nng_push0_open, PUSH_FLAGS, nng_pull0_open, PULL_FLAGS, 100);
	close_under_threads(nng_pull0_open, PULL_FLAGS, nng_push0_open, PUSH_FLAGS, 100);
}

static void *
receive_on_context(void *argument)
{
	nngio_handle *h  = argument;
	nngio_op     *op = new_op();
	uint32_t      number;
	int           rv;

	meet(&met, THREADS + 1);
	while (expected(rv = get_number(op, h, &number, recv_ms))) {
	}
	EQUAL(rv, NNG_ECLOSED);
	EQUAL(nngio_handle_close(h), NNG_ECLOSED);
	nngio_op_free(op);
	return (NULL);
}

static void
contexts_of_a_socket_that_closes_are_closed_first(void)
{
	for (int i = 0; i < rounds(200); i++) {
		nngio_handle *contexts[THREADS];
		pthread_t     threads[THREADS];

		recv_ms = i % 2 == 0 ? -1 : 1;
		target  = open_socket(nng_rep0_open, REP_FLAGS);
		atomic_store(&met, 0);
		for (int t = 0; t < THREADS; t++) {
			contexts[t] = open_context(target, REP_FLAGS);
			threads[t]  = start(receive_on_context, contexts[t]);
		}
		meet(&met, THREADS + 1);
		EQUAL(nngio_handle_close(target), 0);
		for (int t = 0; t < THREADS; t++) {
			join(threads[t]);
			nngio_handle_free(contexts[t]);
		}
		nngio_handle_free(target);
	}
}

static void *
look_at_options(void *argument)
{
	nng_duration ms   = 0;
	size_t       size = sizeof(ms);
	int          rv;

	meet(&met, 2);
	do {
		rv = nngio_ctx_get(context, NNG_OPT_RECVTIMEO, &ms, &size);
		if (rv == 0) {
			rv = nngio_ctx_set(context, NNG_OPT_RECVTIMEO, &ms, size);
		}
	} while (rv == 0);
	EQUAL(rv, NNG_ECLOSED);
	return (argument);
}

// NNG frees a context under whoever is last to let go of it, when its socket may be gone already.
static void
a_context_that_closes_with_its_socket_while_its_options_are_looked_at(void)
{
	unsigned seed = 3;

	for (int i = 0; i < rounds(400); i++) {
		target  = open_socket(nng_req0_open, REQ_FLAGS);
		context = open_context(target, REQ_FLAGS);
		atomic_store(&met, 0);
		pthread_t thread = start(look_at_options, NULL);
		meet(&met, 2);
		spin(dice(&seed, 2000));
		if (i % 2) {
			nngio_handle_close(context);
		}
		nngio_handle_close(target);
		join(thread);
		nngio_handle_free(context);
		nngio_handle_free(target);
	}
}

// NNG's timer thread may still hold on to what it was about to cancel.
static void
a_socket_can_be_closed_in_the_moment_of_a_timeout(void)
{
	unsigned seed = 7;

	for (int i = 0; i < rounds(600); i++) {
		nngio_op *ops[4];
		nngio_handle *h = open_socket(nng_pair0_open, PAIR_FLAGS);
		for (int j = 0; j < 4; j++) {
			ops[j] = new_op();
			EQUAL(nngio_submit_recv(ops[j], h, 1 + j % 2), 0);
		}
		if (dice(&seed, 2)) {
			EQUAL(wait_for(ops[0]), NNG_ETIMEDOUT);
		} else {
			sleep_us(1000 + (int) dice(&seed, 1200));
		}
		close_handle(h);
		for (int j = 0; j < 4; j++) {
			int rv = wait_for(ops[j]);
			CHECK(rv == NNG_ETIMEDOUT || rv == NNG_ECLOSED);
			nngio_op_free(ops[j]);
		}
	}
}

static void *
close_soon(void *argument)
{
	unsigned seed = (unsigned) (uintptr_t) argument;

	meet(&met, 2);
	spin(dice(&seed, 20000));
	nngio_handle_close(target);
	return (NULL);
}

// NNG never returns from either when the one comes before the other has begun.
static void
a_dial_that_is_given_up_or_whose_socket_closes_at_once_ends(void)
{
	unsigned seed = 11;

	for (int i = 0; i < rounds(150); i++) {
		nngio_op  *op = new_op();
		nng_socket s;
		nng_dialer d;
		pthread_t  thread;

		target = open_socket(nng_pair0_open, PAIR_FLAGS);
		s.id   = nngio_handle_id(target);
		EQUAL(nng_dialer_create(&d, s, "tcp://127.0.0.1:1"), 0);
		atomic_store(&met, 0);
		thread = start(close_soon, (void *) (uintptr_t) i);
		meet(&met, 2);
		EQUAL(nngio_begin_dial(op, target, (uint32_t) nng_dialer_id(d)), NNGIO_PENDING);
		spin(dice(&seed, 20000));
		if (i % 2) {
			nngio_abandon(op, NULL);
		} else {
			int rv = wait_for(op);
			CHECK(rv == NNG_ECONNREFUSED || rv == NNG_ECLOSED || rv == NNG_ENOENT);
		}
		join(thread);
		nngio_handle_free(target);
		nngio_op_free(op);
	}
}

static void
a_socket_closes_on_a_thread_of_its_own(void)
{
	for (int i = 0; i < rounds(300); i++) {
		nngio_op *op = new_op(), *receive = new_op();
		target       = open_socket(nng_pull0_open, PULL_FLAGS);
		EQUAL(nngio_submit_recv(receive, target, -1), 0);
		EQUAL(nngio_begin_close(op, target), NNGIO_PENDING);
		EQUAL(wait_for(receive), NNG_ECLOSED);
		EQUAL(wait_for(op), 0);
		EQUAL(nngio_handle_close(target), NNG_ECLOSED);
		nngio_op_free(op);
		nngio_op_free(receive);
		nngio_handle_free(target);
	}
}

// What a loop begins: whoever aborts it, abandons it or lets go of it waits for nothing, and the operation and its
// queue are there until its threads are gone.
static void
a_dial_or_close_whose_loop_is_gone_comes_to_its_end(void)
{
	unsigned seed = 12;

	for (int i = 0; i < rounds(600); i++) {
		nngio_op    *op    = new_op();
		nngio_queue *queue = nngio_queue_new();
		nng_socket   s;
		nng_dialer   d;
		nng_listener l;
		uint32_t     tag;

		target = open_socket(nng_pair0_open, PAIR_FLAGS);
		s.id   = nngio_handle_id(target);
		EQUAL(nng_dialer_create(&d, s, i % 8 < 4 ? "tcp://127.0.0.1:1" : "inproc://nobody"), 0);
		EQUAL(nng_listener_create(&l, s, "inproc://self"), 0);
		EQUAL(nngio_op_attach(op, queue, 1), 0);
		switch (i % 4) {
		case 0:
		case 1:
			EQUAL(nngio_begin_dial(op, target, (uint32_t) nng_dialer_id(d)), NNGIO_PENDING);
			break;
		case 2:
			EQUAL(nngio_begin_dialer_close(op, target, (uint32_t) nng_dialer_id(d)), NNGIO_PENDING);
			break;
		default:
			EQUAL(nngio_begin_listener_close(op, target, (uint32_t) nng_listener_id(l)), NNGIO_PENDING);
			break;
		}
		spin(dice(&seed, 20000));
		switch (dice(&seed, 4)) {
		case 0: // a cancellation
			nngio_op_abort(op, NNG_ECANCELED);
			while (nngio_queue_settle(queue, &tag, 1) == 0) {
				nngio_queue_wait(queue, -1);
			}
			EQUAL(tag, 1);
			CHECK(i % 4 > 1 || op->result == NNG_ECANCELED || op->result == NNG_ECONNREFUSED);
			if (op->result == NNG_ECANCELED) {
				EQUAL(nng_dialer_close(d), NNG_ENOENT);
			}
			nngio_abandon(op, NULL);
			CHECK(!nngio_op_busy(op));
			break;
		case 1: // a coroutine that is closed: its operation is used again when it is off the queue
			nngio_abandon(op, NULL);
			while (nngio_op_busy(op)) {
				nngio_queue_wait(queue, -1);
				nngio_queue_settle(queue, &tag, 1);
			}
			EQUAL(nngio_begin_close(op, target), NNGIO_PENDING);
			break;
		case 2: // a loop that is closed
			nngio_abandon_all(&op, 1);
			break;
		}
		nngio_queue_free(queue);
		nngio_op_free(op);
		if (dice(&seed, 2)) {
			nngio_handle_close(target);
		}
		nngio_handle_close(target);
		nngio_handle_free(target);
	}
}

int
main(void)
{
	RUN(eight_threads_on_a_pair_that_closes);
	RUN(eight_threads_on_a_req_that_closes);
	RUN(eight_threads_on_a_rep_that_closes);
	RUN(eight_threads_on_a_survey_that_closes);
	RUN(eight_threads_on_a_bus_that_closes);
	RUN(eight_threads_on_a_push_or_pull_that_closes);
	RUN(contexts_of_a_socket_that_closes_are_closed_first);
	RUN(a_context_that_closes_with_its_socket_while_its_options_are_looked_at);
	RUN(a_socket_can_be_closed_in_the_moment_of_a_timeout);
	RUN(a_dial_that_is_given_up_or_whose_socket_closes_at_once_ends);
	RUN(a_socket_closes_on_a_thread_of_its_own);
	RUN(a_dial_or_close_whose_loop_is_gone_comes_to_its_end);
	return (0);
}
