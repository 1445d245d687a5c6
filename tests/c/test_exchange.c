// Exchanges: what NNG does not survive is refused, or goes another way.

#include "check.h"

static nngio_handle *bus;
static atomic_bool   finished;

static void
ask(nng_socket raw, uint32_t id)
{
	nng_msg *msg;

	EQUAL(nng_msg_alloc(&msg, 1), 0);
	EQUAL(nng_msg_header_append_u32(msg, 0x80000000u | id), 0);
	EQUAL(nng_sendmsg(raw, msg, 0), 0);
}

static void
second_answer_while_the_first_waits(opener open_one, opener open_raw, bool inlined)
{
	nngio_handle *one    = open_socket(open_one, REP_FLAGS);
	nngio_op     *asked  = new_op(), *answers[8];
	nngio_box    *box    = nngio_box_new();
	int           n      = 0;
	nng_socket    raw; // does not receive, so that the pipe to it is busy after some answers
	char          url[64];

	EQUAL(open_raw(&raw), 0);
	listen_at(one, fresh_url(url));
	EQUAL(nng_dial(raw, url, NULL, 0), 0);
	for (bool busy = false; !busy; n++) {
		CHECK(n < 8);
		ask(raw, (uint32_t) n);
		EQUAL(nngio_submit_recv(asked, one, 5000), 0);
		EQUAL(wait_for(asked), 0);
		EQUAL(nngio_box_fill(box, "answer", 6), 0);
		answers[n] = new_op();
		EQUAL(nngio_submit_send(answers[n], one, box, -1), 0);
		busy = !settle_soon(answers[n], 50);
	}
	ask(raw, 100);
	EQUAL(nngio_submit_recv(asked, one, 5000), 0);
	EQUAL(wait_for(asked), 0);
	EQUAL(nngio_box_fill(box, "another", 7), 0);
	if (inlined) {
		EQUAL(try_box(asked, one, box, 100), NNG_ESTATE);
	} else {
		nngio_op *second = new_op();
		EQUAL(nngio_submit_send(second, one, box, 100), 0);
		EQUAL(wait_for(second), NNG_ESTATE);
		nngio_op_free(second);
	}
	EQUAL(nng_msg_len(box->msg), 7);
	// When the first has gone out, the request can still be answered.
	nng_msg *msg;
	while (nngio_op_busy(answers[n - 1])) {
		EQUAL(nng_recvmsg(raw, &msg, 0), 0);
		nng_msg_free(msg);
		settle_soon(answers[n - 1], 20);
	}
	EQUAL(nng_recvmsg(raw, &msg, 0), 0); // and there is room for one more
	nng_msg_free(msg);
	EQUAL(try_box(asked, one, box, 1000), 0);
	while (n > 0) {
		nngio_op_free(answers[--n]);
	}
	nngio_box_free(box);
	nngio_op_free(asked);
	nng_close(raw);
	close_handle(one);
}

static void
a_reply_while_another_waits_is_refused(void)
{
	second_answer_while_the_first_waits(nng_rep0_open, nng_req0_open_raw, false);
	second_answer_while_the_first_waits(nng_rep0_open, nng_req0_open_raw, true);
}

static void
an_answer_to_a_survey_while_another_waits_is_refused(void)
{
	second_answer_while_the_first_waits(nng_respondent0_open, nng_surveyor0_open_raw, false);
	second_answer_while_the_first_waits(nng_respondent0_open, nng_surveyor0_open_raw, true);
}

static void
a_receive_beside_a_request_that_waits_for_a_peer_is_refused(void)
{
	nngio_handle *req  = open_socket(nng_req0_open, REQ_FLAGS);
	nngio_handle *rep  = open_socket(nng_rep0_open, REP_FLAGS);
	nngio_op     *send = new_op(), *recv = new_op(), *op = new_op();
	nngio_box    *box = nngio_box_new();
	uint32_t      number = 7;

	EQUAL(nngio_box_fill(box, &number, sizeof(number)), 0);
	for (int i = 0; i < 3; i++) {
		EQUAL(nngio_submit_send(send, req, box, 20), 0);
		EQUAL(nngio_submit_recv(recv, req, 5), 0);
		EQUAL(wait_for(recv), NNG_ESTATE);
		EQUAL(get_number(op, req, &number, 5), NNG_ESTATE);
		EQUAL(wait_for(send), NNG_ETIMEDOUT);
		CHECK(box->msg != NULL);
	}
	EQUAL(nngio_submit_send(send, req, box, -1), 0);
	EQUAL(get_number(op, req, &number, -1), NNG_ESTATE);
	connect_both(rep, req);
	EQUAL(wait_for(send), 0);
	EQUAL(nngio_submit_recv(recv, req, 5000), 0);
	EQUAL(get_number(op, rep, &number, 5000), 0);
	send_number(op, rep, number + 1);
	EQUAL(wait_for(recv), 0);
	EQUAL(number_of(recv), 8);
	nngio_op_drop(recv);
	nngio_op_free(send);
	nngio_op_free(recv);
	nngio_op_free(op);
	nngio_box_free(box);
	close_handle(req);
	close_handle(rep);
}

static nngio_handle *req;

static void *
request_in_vain(void *argument)
{
	nngio_op *op = new_op();

	for (int i = 0; i < rounds(3000); i++) {
		int rv = try_number(op, req, 1, 1);
		CHECK(rv == NNG_ETIMEDOUT || rv == NNG_ECANCELED);
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
	}
	atomic_store(&finished, true);
	nngio_op_free(op);
	return (argument);
}

static void *
receive_in_vain(void *argument)
{
	nngio_op *op = new_op();
	uint32_t  number;

	while (!atomic_load(&finished)) {
		int rv = get_number(op, req, &number, (int) (intptr_t) argument);
		CHECK(rv == NNG_ESTATE || rv == NNG_ETIMEDOUT || rv == NNG_ECANCELED);
	}
	nngio_op_free(op);
	return (argument);
}

static void
requests_and_receives_of_many_threads_at_once_do_no_harm(void)
{
	pthread_t threads[4];

	atomic_store(&finished, false);
	req        = open_socket(nng_req0_open, REQ_FLAGS);
	threads[0] = start(request_in_vain, NULL);
	threads[1] = start(request_in_vain, NULL);
	threads[2] = start(receive_in_vain, (void *) 1);
	threads[3] = start(receive_in_vain, (void *) 0);
	for (int i = 0; i < 4; i++) {
		join(threads[i]);
	}
	close_handle(req);
}

static void *
send_many(void *argument)
{
	nngio_op *op = new_op();
	int       ms = (int) (intptr_t) argument;

	for (int i = 0; i < rounds(20000); i++) {
		int rv = try_number(op, bus, 1, ms);
		CHECK(rv == 0 || (rv == NNG_ETIMEDOUT && ms == 0));
		nngio_op_drop(op);
		op->kind = NNGIO_NONE;
	}
	nngio_op_free(op);
	return (NULL);
}

// NNG queues the attempt of one thread behind the waiting sends of others.
static void
attempts_to_send_beside_sends_that_wait_end_at_once(void)
{
	nngio_handle *peer = open_socket(nng_bus0_open, BUS_FLAGS);
	pthread_t     threads[4];
	nng_socket    s;

	bus  = open_socket(nng_bus0_open, BUS_FLAGS);
	s.id = nngio_handle_id(bus);
	EQUAL(nng_socket_set_int(s, NNG_OPT_SENDBUF, 1), 0);
	connect_both(bus, peer);
	for (int i = 0; i < 4; i++) {
		threads[i] = start(send_many, (void *) (intptr_t) (i % 2 ? 5000 : 0));
	}
	for (int i = 0; i < 4; i++) {
		join(threads[i]);
	}
	close_handle(bus);
	close_handle(peer);
}

static void
an_attempt_to_send_gives_up_although_there_is_room_for_those_before_it(void)
{
	nngio_handle *raw = open_socket(nng_req0_open_raw, BUS_FLAGS | NNGIO_RAW);
	nngio_op     *ops[3], *op = new_op();
	nngio_box    *boxes[3];
	nng_socket    s = { .id = nngio_handle_id(raw) };

	for (int i = 0; i < 3; i++) { // nobody to send to
		ops[i]   = new_op();
		boxes[i] = nngio_box_new();
		EQUAL(nngio_box_fill(boxes[i], "x", 1), 0);
		EQUAL(nngio_submit_send(ops[i], raw, boxes[i], -1), 0);
		CHECK(!settle_soon(ops[i], 2));
	}
	EQUAL(nng_socket_set_int(s, NNG_OPT_SENDBUF, 1), 0); // room, and NNG looks at it with the next send
	EQUAL(try_number(op, raw, 1, 0), NNG_ETIMEDOUT);
	EQUAL(op->len, 4);
	nngio_handle_close(raw);
	for (int i = 0; i < 3; i++) {
		int rv = wait_for(ops[i]);
		CHECK(rv == 0 || rv == NNG_ECLOSED);
		EQUAL(boxes[i]->msg != NULL, rv != 0);
		nngio_op_free(ops[i]);
		nngio_box_free(boxes[i]);
	}
	nngio_op_free(op);
	nngio_handle_free(raw);
}

int
main(void)
{
	RUN(a_reply_while_another_waits_is_refused);
	RUN(an_answer_to_a_survey_while_another_waits_is_refused);
	RUN(a_receive_beside_a_request_that_waits_for_a_peer_is_refused);
	RUN(requests_and_receives_of_many_threads_at_once_do_no_harm);
	RUN(attempts_to_send_beside_sends_that_wait_end_at_once);
	RUN(an_attempt_to_send_gives_up_although_there_is_room_for_those_before_it);
	return (0);
}
