// A loop's replies that have to wait for their pipe: each ends once, by itself, by a cancel, or by a close.

#include <string.h>

#include "check.h"

#define MANY 8

static nngio_queue *queue;
static nngio_handle *one;
static nng_socket    raw; // does not receive, so that the pipe to it is busy after some replies
static nngio_op     *asked;
static uint32_t      requests;

static void
open_both(opener open_one, opener open_raw)
{
	char url[64];

	queue = nngio_queue_new();
	one   = open_socket(open_one, REP_FLAGS);
	asked = new_op();
	EQUAL(open_raw(&raw), 0);
	listen_at(one, fresh_url(url));
	EQUAL(nng_dial(raw, url, NULL, 0), 0);
}

static void
close_both(void)
{
	nngio_op_free(asked);
	close_handle(one);
	nng_close(raw);
	nngio_queue_free(queue);
}

// Has the socket receive a request, so that it can reply.
static void
ask(void)
{
	nng_msg *msg;

	EQUAL(nng_msg_alloc(&msg, 1), 0);
	EQUAL(nng_msg_header_append_u32(msg, 0x80000000u | ++requests), 0);
	EQUAL(nng_sendmsg(raw, msg, 0), 0);
	EQUAL(nngio_submit_recv(asked, one, 5000), 0);
	EQUAL(wait_for(asked), 0);
}

static nngio_op *
op_of_the_loop(uint64_t tag)
{
	nngio_op *op = new_op();
	EQUAL(nngio_op_attach(op, queue, tag), 0);
	return (op);
}

static void
drained(nngio_op *op)
{
	nngio_op *got = NULL;
	for (int n = 0; n == 0; n = nngio_queue_drain(queue, &got, 1)) {
		EQUAL(nngio_queue_wait(queue, 5000), 1);
	}
	CHECK(got == op);
	nngio_op_settle(op);
	CHECK(!nngio_op_busy(op));
}

// Replies until one has to wait, and does so for `ms`: that one, whose message is of 6 bytes, is returned.
static nngio_op *
reply_that_waits(int ms)
{
	nngio_op *op = op_of_the_loop(7);

	for (int n = 0; n < MANY; n++) {
		int rv;
		ask();
		if ((rv = nngio_begin_send(op, one, "answer", 6, -1)) == NNGIO_PENDING) {
			if (nngio_queue_wait(queue, ms) == 0) {
				return (op);
			}
			drained(op); // its pipe was only on the point of passing on the message before
			rv = op->result;
		}
		EQUAL(rv, 0);
	}
	CHECK(!"the pipe takes all");
	return (NULL);
}

static void
receive_all(void)
{
	nng_msg *msg;
	while (nng_recvmsg(raw, &msg, NNG_FLAG_NONBLOCK) == 0) {
		nng_msg_free(msg);
		sleep_us(1000);
	}
}

static void
a_reply_that_waits_ends_when_its_pipe_is_free(opener open_one, opener open_raw)
{
	nngio_op *op;

	open_both(open_one, open_raw);
	for (int turn = 0; turn < 3; turn++) {
		op = reply_that_waits(50);
		CHECK(nngio_op_busy(op));
		while (nngio_queue_wait(queue, 1) == 0) {
			receive_all();
		}
		drained(op);
		EQUAL(op->result, 0);
		CHECK(op->msg == NULL);
		nngio_op_free(op);
	}
	close_both();
}

static void
a_reply_that_is_cancelled_comes_back(opener open_one, opener open_raw)
{
	nngio_op *op;

	open_both(open_one, open_raw);
	op = reply_that_waits(50);
	EQUAL(nngio_cancel(op), NNG_ECANCELED);
	if (nngio_op_busy(op)) {
		drained(op); // whoever looks after it saw its end in that moment
	}
	EQUAL(op->len, 6);
	EQUAL(nngio_queue_wait(queue, 20), 0);
	nngio_op_free(op);
	close_both();
}

static void
a_reply_that_is_aborted_ends_on_the_queue(opener open_one, opener open_raw)
{
	nngio_op *op;

	open_both(open_one, open_raw);
	op = reply_that_waits(50);
	EQUAL(nngio_op_abort(op, NNG_ETIMEDOUT), 0);
	drained(op);
	EQUAL(op->result, NNG_ETIMEDOUT);
	EQUAL(op->len, 6);
	nngio_op_free(op);
	close_both();
}

static void
a_reply_ends_with_its_socket(opener open_one, opener open_raw)
{
	nngio_op *op;

	open_both(open_one, open_raw);
	op = reply_that_waits(50);
	nngio_handle_close(one);
	drained(op);
	EQUAL(op->result, NNG_ECLOSED);
	EQUAL(op->len, 6);
	nngio_op_free(op);
	close_both();
}

static void
a_reply_that_nobody_waits_for_ends_by_itself(opener open_one, opener open_raw)
{
	open_both(open_one, open_raw);
	nngio_op_free(reply_that_waits(50)); // its loop is gone
	close_both();
}

// A cancel that comes as the pipe becomes free: the message was sent, or it is back, and never both.
static void *
receive_slowly(void *arg)
{
	nng_msg *msg;
	sleep_us(*(int *) arg);
	while (nng_recvmsg(raw, &msg, NNG_FLAG_NONBLOCK) == 0) {
		nng_msg_free(msg);
	}
	return (NULL);
}

static void
a_cancel_and_a_free_pipe_race(opener open_one, opener open_raw)
{
	int turns = rounds(300), came_back = 0;

	open_both(open_one, open_raw);
	for (int turn = 0; turn < turns; turn++) {
		int       us     = turn % 100;
		nngio_op *op     = reply_that_waits(1);
		pthread_t thread = start(receive_slowly, &us);
		int       rv;

		sleep_us(us);
		rv = nngio_cancel(op);
		if (nngio_op_busy(op)) {
			drained(op);
			rv = op->result;
		}
		CHECK(rv == 0 || rv == NNG_ECANCELED);
		EQUAL(op->msg != NULL, rv != 0);
		came_back += rv != 0;
		nngio_op_free(op);
		join(thread);
		receive_all();
	}
	CHECK(came_back > 0);
	close_both();
}

#define BOTH(test)                                             \
	static void test##_rep(void)                           \
	{                                                      \
		test(nng_rep0_open, nng_req0_open_raw);        \
	}                                                      \
	static void test##_respondent(void)                    \
	{                                                      \
		test(nng_respondent0_open, nng_surveyor0_open_raw); \
	}

BOTH(a_reply_that_waits_ends_when_its_pipe_is_free)
BOTH(a_reply_that_is_cancelled_comes_back)
BOTH(a_reply_that_is_aborted_ends_on_the_queue)
BOTH(a_reply_ends_with_its_socket)
BOTH(a_reply_that_nobody_waits_for_ends_by_itself)
BOTH(a_cancel_and_a_free_pipe_race)

int
main(void)
{
	RUN(a_reply_that_waits_ends_when_its_pipe_is_free_rep);
	RUN(a_reply_that_waits_ends_when_its_pipe_is_free_respondent);
	RUN(a_reply_that_is_cancelled_comes_back_rep);
	RUN(a_reply_that_is_cancelled_comes_back_respondent);
	RUN(a_reply_that_is_aborted_ends_on_the_queue_rep);
	RUN(a_reply_that_is_aborted_ends_on_the_queue_respondent);
	RUN(a_reply_ends_with_its_socket_rep);
	RUN(a_reply_ends_with_its_socket_respondent);
	RUN(a_reply_that_nobody_waits_for_ends_by_itself_rep);
	RUN(a_reply_that_nobody_waits_for_ends_by_itself_respondent);
	RUN(a_cancel_and_a_free_pipe_race_rep);
	RUN(a_cancel_and_a_free_pipe_race_respondent);
	return (0);
}
