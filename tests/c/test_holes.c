// Holes of NNG's own that a binding can't go around: each is closed by a patch in nng_src/patches, and each
// of these tests crashes, hangs or leaks without it.
//
// They are run for an NNG that has the patches (-DNNGIO_NNG_PATCHED).

#include <malloc.h>
#include <sched.h>

#include "check.h"

static nngio_handle *target;
static atomic_bool   finished;
static atomic_int    counter;
static char          url[64];

static void
spin(unsigned turns)
{
	while (turns-- > 0) {
		__asm__ volatile("");
	}
}

// respondent-pipe-close
static void
a_survey_whose_pipe_has_gone_is_not_received(void)
{
	for (int i = 0; i < rounds(50); i++) {
		nngio_handle *respondent = open_socket(nng_respondent0_open, RESPONDENT_FLAGS);
		nngio_handle *surveyor   = open_socket(nng_surveyor0_open, SURVEYOR_FLAGS);
		nng_socket    s          = { .id = nngio_handle_id(respondent) };
		nngio_op     *op         = new_op();
		nng_dialer    d;
		uint32_t      number;

		listen_at(surveyor, fresh_url(url));
		EQUAL(nng_dial(s, url, &d, 0), 0);
		do { // until the surveyor has its pipe
			send_number(op, surveyor, 1);
		} while (get_number(op, respondent, &number, 50) != 0);
		send_number(op, respondent, 1);
		send_number(op, surveyor, 2);
		sleep_us(5000); // for the survey to arrive, and wait
		nng_dialer_close(d);
		sleep_us(2000); // for the pipe to be gone
		int rv = get_number(op, respondent, &number, 0);
		CHECK(rv == NNG_ETIMEDOUT || rv == 0);
		nngio_op_free(op);
		close_handle(respondent);
		close_handle(surveyor);
	}
}

static void *
survey_again_and_again(void *argument)
{
	nngio_handle *context = open_context(target, SURVEYOR_FLAGS);
	nng_ctx       c       = { .id = nngio_handle_id(context) };
	nngio_op     *op      = new_op();
	unsigned      seed    = (unsigned) (uintptr_t) argument;

	nng_ctx_set_ms(c, NNG_OPT_SURVEYOR_SURVEYTIME, 1);
	for (int i = 0; i < rounds(3000); i++) {
		send_number(op, context, 1);
		sleep_us(900 + (int) dice(&seed, 200));
	}
	nngio_op_free(op);
	close_handle(context);
	return (NULL);
}

// surveyor-send
static void
a_survey_sent_when_the_one_before_runs_out_does_not_block(void)
{
	pthread_t threads[16];

	target = open_socket(nng_surveyor0_open, SURVEYOR_FLAGS);
	for (uintptr_t i = 0; i < 16; i++) {
		threads[i] = start(survey_again_and_again, (void *) i);
	}
	for (int i = 0; i < 16; i++) {
		join(threads[i]);
	}
	close_handle(target);
}

static void *
start_dialer(void *argument)
{
	nng_dialer d = { .id = *(uint32_t *) argument };
	atomic_store(&counter, 1);
	nng_dialer_start(d, 0);
	return (NULL);
}

// dialer-start
static void
a_dialer_that_is_closed_while_it_starts_does_not_block(void)
{
	unsigned seed = 3;

	for (int i = 0; i < rounds(5000); i++) {
		nng_socket s;
		nng_dialer d;
		uint32_t   id;

		EQUAL(nng_pair0_open(&s), 0);
		EQUAL(nng_dialer_create(&d, s, "tcp://127.0.0.1:1"), 0);
		id = (uint32_t) nng_dialer_id(d);
		atomic_store(&counter, 0);
		pthread_t thread = start(start_dialer, &id);
		for (int turns = 0; atomic_load(&counter) == 0;) {
			if (++turns > 200) {
				sched_yield();
			}
		}
		spin(dice(&seed, 3000));
		if (i % 2) {
			nng_dialer_close(d);
			join(thread);
			nng_close(s);
		} else {
			nng_close(s);
			join(thread);
		}
	}
}

static void *
send_to_whoever_is_there(void *argument)
{
	nngio_op *op = new_op();

	while (!atomic_load(&finished)) {
		try_number(op, target, 1, 20);
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
	}
	nngio_op_free(op);
	return (argument);
}

static void *
come_and_go_receiving(void *argument)
{
	nngio_op *op   = new_op();
	unsigned  seed = (unsigned) (uintptr_t) argument;
	uint32_t  number;

	for (int i = 0; i < rounds(4000); i++) {
		nngio_handle *h = open_socket(nng_pull0_open, PULL_FLAGS);
		dial_to(h, url);
		for (unsigned n = dice(&seed, 20); n > 0; n--) {
			get_number(op, h, &number, 10);
		}
		close_handle(h);
	}
	atomic_fetch_add(&counter, 1);
	nngio_op_free(op);
	return (NULL);
}

// push-pipe-close, unsent-message
static void
a_push_socket_survives_peers_that_leave_and_keeps_nothing_of_them(void)
{
	pthread_t       senders[2], receivers[3];
	struct mallinfo2 before, after;

	for (int turn = 0; turn < 2; turn++) {
		before = mallinfo2();
		atomic_store(&finished, false);
		target = open_socket(nng_push0_open, PUSH_FLAGS);
		listen_at(target, fresh_url(url));
		for (int i = 0; i < 2; i++) {
			senders[i] = start(send_to_whoever_is_there, NULL);
		}
		for (uintptr_t i = 0; i < 3; i++) {
			receivers[i] = start(come_and_go_receiving, (void *) i);
		}
		for (int i = 0; i < 3; i++) {
			join(receivers[i]);
		}
		atomic_store(&finished, true);
		for (int i = 0; i < 2; i++) {
			join(senders[i]);
		}
		close_handle(target);
		after = mallinfo2();
	}
	// The first turn has filled caches.  Without the patch about one peer in ten leaves a message behind.
	CHECK(after.uordblks < before.uordblks + 50000);
}

static void *
come_and_go_sending(void *argument)
{
	nngio_op *op   = new_op();
	unsigned  seed = (unsigned) (uintptr_t) argument;
	opener    open = counter % 2 ? nng_pair1_open : nng_pair0_open;

	for (int i = 0; i < rounds(1500); i++) {
		nngio_handle *h = open_socket(open, PAIR_FLAGS);
		nng_socket    s = { .id = nngio_handle_id(h) };
		nng_dial(s, url, NULL, 0); // refused while another has the place
		for (unsigned n = dice(&seed, 4) + 1; n > 0; n--) {
			try_number(op, h, 1, 1);
			nngio_op_drop(op);
			op->kind = NNGIO_NONE;
		}
		close_handle(h);
	}
	nngio_op_free(op);
	return (NULL);
}

static void *
receive_now_and_then(void *argument)
{
	nngio_op *op   = new_op();
	unsigned  seed = 1;
	uint32_t  number;

	while (!atomic_load(&finished)) {
		get_number(op, target, &number, 0);
		sleep_us((int) dice(&seed, 300));
	}
	nngio_op_free(op);
	return (argument);
}

// pair-pipe-close
static void
a_pair_socket_survives_peers_that_leave(void)
{
	pthread_t receiver, senders[2];

	for (int i = 0; i < 2; i++) {
		atomic_store(&counter, i);
		atomic_store(&finished, false);
		target = open_socket(i ? nng_pair1_open : nng_pair0_open, PAIR_FLAGS);
		listen_at(target, fresh_url(url));
		receiver = start(receive_now_and_then, NULL);
		for (uintptr_t j = 0; j < 2; j++) {
			senders[j] = start(come_and_go_sending, (void *) j);
		}
		for (int j = 0; j < 2; j++) {
			join(senders[j]);
		}
		atomic_store(&finished, true);
		join(receiver);
		close_handle(target);
	}
}

// timeout-while-stopping; called on the thread that times out
static void
cancel_slowly(nng_aio *aio, void *argument, int result)
{
	nng_aio_finish(aio, result);
	sleep_us(50000);
	atomic_store((atomic_bool *) argument, true);
}

static void
what_an_operation_belongs_to_outlives_its_cancellation(void)
{
	atomic_bool done;
	nng_aio    *aio;

	for (int i = 0; i < 5; i++) {
		atomic_init(&done, false);
		EQUAL(nng_aio_alloc(&aio, NULL, NULL), 0);
		nng_aio_set_timeout(aio, 1);
		CHECK(nng_aio_begin(aio));
		nng_aio_defer(aio, cancel_slowly, &done);
		nng_aio_wait(aio);
		EQUAL(nng_aio_result(aio), NNG_ETIMEDOUT);
		nng_aio_stop(aio);
		CHECK(atomic_load(&done));
		nng_aio_free(aio);
	}
}

int
main(void)
{
	// The SUB's is in test_cancel.c.
	RUN(a_survey_whose_pipe_has_gone_is_not_received);
	RUN(a_survey_sent_when_the_one_before_runs_out_does_not_block);
#ifdef NNGIO_NNG_PATCHED
	RUN(a_dialer_that_is_closed_while_it_starts_does_not_block);
	RUN(a_push_socket_survives_peers_that_leave_and_keeps_nothing_of_them);
	RUN(a_pair_socket_survives_peers_that_leave);
	RUN(what_an_operation_belongs_to_outlives_its_cancellation);
#endif
	return (0);
}
