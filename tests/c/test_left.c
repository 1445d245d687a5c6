// Receives of a REQ and a SURVEYOR that a signal interrupts: they go on, and the next receive gets what they bring.

#include "check.h"

static nngio_handle *asker, *answerer;
static nngio_op     *op, *peer;

static void
open_both(bool surveys)
{
	asker    = surveys ? open_socket(nng_surveyor0_open, SURVEYOR_FLAGS) : open_socket(nng_req0_open, REQ_FLAGS);
	answerer = surveys ? open_socket(nng_respondent0_open, RESPONDENT_FLAGS) : open_socket(nng_rep0_open, REP_FLAGS);
	connect_both(answerer, asker);
	op   = new_op();
	peer = new_op();
}

static void
close_both(void)
{
	nngio_op_free(op);
	nngio_op_free(peer);
	close_handle(asker);
	close_handle(answerer);
}

// The receive of a caller that is interrupted while it waits.
static nngio_op *
interrupted(int ms)
{
	nngio_op *left = new_op();

	EQUAL(nngio_begin_recv(left, asker, ms), NNGIO_PENDING);
	nngio_leave(left, NULL);
	return (left);
}

static void
ask(uint32_t number)
{
	uint32_t got;

	send_number(op, asker, number);
	EQUAL(get_number(peer, answerer, &got, 5000), 0);
	EQUAL(got, number);
}

static void
the_next_receive_gets_the_answer_before_or_after_it_has_begun(void)
{
	uint32_t number;

	for (int surveys = 0; surveys < 2; surveys++) {
		open_both(surveys);
		for (int i = 0; i < rounds(2000); i++) {
			nngio_op *left, *next = new_op();
			int       rv;
			ask((uint32_t) i);
			left = interrupted(-1);
			if (i % 3 == 0) {
				nngio_op_free(left); // its owner may be gone at any time
			}
			if (i % 2 == 0) {
				send_number(peer, answerer, (uint32_t) i);
			}
			rv = nngio_begin_recv(next, asker, 5000);
			if (i % 2 != 0) {
				EQUAL(rv, NNGIO_PENDING);
				send_number(peer, answerer, (uint32_t) i);
			}
			EQUAL(rv == NNGIO_PENDING ? wait_for(next) : rv, 0);
			number = number_of(next);
			EQUAL(number, i);
			if (i % 3 != 0) {
				nngio_op_free(left);
			}
			nngio_op_drop(next);
			nngio_op_free(next);
		}
		close_both();
	}
}

static void
an_interrupted_receive_may_be_interrupted_again(void)
{
	uint32_t number;

	open_both(false);
	for (int i = 0; i < rounds(500); i++) {
		nngio_op *first, *second;
		ask((uint32_t) i);
		first  = interrupted(-1);
		second = interrupted(5000);
		send_number(peer, answerer, (uint32_t) i);
		EQUAL(get_number(op, asker, &number, 5000), 0);
		EQUAL(number, i);
		nngio_op_free(first);
		nngio_op_free(second);
	}
	close_both();
}

static void
a_next_receive_whose_time_is_up_gives_up_the_request(void)
{
	uint32_t  number;
	nngio_op *left;

	open_both(false);
	ask(1);
	left = interrupted(-1);
	EQUAL(get_number(op, asker, &number, 20), NNG_ETIMEDOUT);
	EQUAL(wait_for(left), NNG_ETIMEDOUT);
	EQUAL(get_number(op, asker, &number, 20), NNG_ESTATE);
	nngio_op_free(left);
	close_both();
}

static void
a_next_receive_that_is_canceled_gives_up_the_request(void)
{
	uint32_t  number;
	nngio_op *left, *next = new_op();

	open_both(false);
	ask(1);
	left = interrupted(-1);
	EQUAL(nngio_begin_recv(next, asker, -1), NNGIO_PENDING);
	nngio_abandon(next, NULL);
	EQUAL(wait_for(left), NNG_ECANCELED);
	EQUAL(get_number(op, asker, &number, 20), NNG_ESTATE);
	nngio_op_free(left);
	nngio_op_free(next);
	close_both();
}

static void
a_new_request_ends_both_and_gets_its_own_answer(void)
{
	uint32_t number;

	open_both(false);
	for (uint32_t i = 0; i < (uint32_t) rounds(2000); i += 2) {
		nngio_op *left, *next = new_op();
		ask(i);
		left = interrupted(-1);
		EQUAL(nngio_begin_recv(next, asker, -1), NNGIO_PENDING);
		if (i % 4 == 0) {
			send_number(peer, answerer, i); // comes too late, or is the next receive's
		}
		ask(i + 1);
		number = (uint32_t) wait_for(next);
		CHECK(number == NNG_ECANCELED || (number == 0 && number_of(next) == i));
		send_number(peer, answerer, i + 1);
		EQUAL(get_number(op, asker, &number, 5000), 0);
		EQUAL(number, i + 1);
		nngio_op_drop(next);
		nngio_op_free(left);
		nngio_op_free(next);
	}
	close_both();
}

static void
closing_ends_both(void)
{
	for (int i = 0; i < rounds(200); i++) {
		nngio_op *left, *next = new_op();
		open_both(i % 2);
		ask(1);
		left = interrupted(-1);
		EQUAL(nngio_begin_recv(next, asker, -1), NNGIO_PENDING);
		nngio_handle_close(asker);
		EQUAL(wait_for(left), NNG_ECLOSED);
		EQUAL(wait_for(next), NNG_ECLOSED);
		nngio_op_free(left);
		nngio_op_free(next);
		close_both();
	}
}

int
main(void)
{
	RUN(the_next_receive_gets_the_answer_before_or_after_it_has_begun);
	RUN(an_interrupted_receive_may_be_interrupted_again);
	RUN(a_next_receive_whose_time_is_up_gives_up_the_request);
	RUN(a_next_receive_that_is_canceled_gives_up_the_request);
	RUN(a_new_request_ends_both_and_gets_its_own_answer);
	RUN(closing_ends_both);
	return (0);
}
