// Boxes: who has the message.

#include "check.h"

static nngio_box    *box;
static nngio_handle *left, *right;
static atomic_int    met, sent, refused;

static nngio_box *
full_box(uint32_t number)
{
	nngio_box *b = nngio_box_new();
	EQUAL(nngio_box_fill(b, &number, sizeof(number)), 0);
	EQUAL(nng_msg_header_append(b->msg, "abcd", 4), 0);
	return (b);
}

static void
check_box(nngio_box *b, uint32_t number)
{
	CHECK(b->msg != NULL);
	EQUAL(nng_msg_len(b->msg), sizeof(number));
	EQUAL(memcmp(nng_msg_body(b->msg), &number, sizeof(number)), 0);
	EQUAL(nng_msg_header_len(b->msg), 4);
	EQUAL(memcmp(nng_msg_header(b->msg), "abcd", 4), 0);
}

static void
a_message_that_is_not_sent_is_back_in_its_box_with_its_header(void)
{
	nngio_op *op = new_op();

	left = open_socket(nng_pair1_open, PAIR_FLAGS);
	box  = full_box(7);
	EQUAL(try_box(op, left, box, 0), NNG_ETIMEDOUT);
	check_box(box, 7);
	EQUAL(try_box(op, left, box, 2), NNG_ETIMEDOUT);
	check_box(box, 7);
	EQUAL(nngio_submit_send(op, left, box, -1), 0);
	CHECK(box->msg == NULL);
	EQUAL(nngio_submit_send(op, left, box, -1), NNGIO_BUSY);
	nngio_op_abort(op, 4711);
	EQUAL(wait_for(op), 4711);
	check_box(box, 7);
	EQUAL(nngio_submit_send(op, left, box, -1), 0);
	nngio_handle_close(left);
	EQUAL(wait_for(op), NNG_ECLOSED);
	check_box(box, 7);
	EQUAL(try_box(op, left, box, -1), NNG_ECLOSED);
	check_box(box, 7);
	nngio_handle_free(left);
	nngio_op_free(op);
	nngio_box_free(box);
}

static void *
send_the_box(void *argument)
{
	nngio_op *op = new_op();
	int       rv;

	meet(&met, 2);
	rv = try_box(op, left, box, 1000);
	if (rv == 0) {
		atomic_fetch_add(&sent, 1);
	} else {
		EQUAL(rv, NNG_ESTATE);
		atomic_fetch_add(&refused, 1);
	}
	nngio_op_free(op);
	return (argument);
}

static void
of_two_threads_that_send_one_box_one_does(void)
{
	left  = open_socket(nng_pair0_open, PAIR_FLAGS);
	right = open_socket(nng_pair0_open, PAIR_FLAGS);
	connect_both(left, right);
	for (int i = 0; i < rounds(3000); i++) {
		uint32_t  number;
		nngio_op *op = new_op();
		atomic_store(&met, 0);
		atomic_store(&sent, 0);
		atomic_store(&refused, 0);
		box         = full_box((uint32_t) i);
		pthread_t a = start(send_the_box, NULL), b = start(send_the_box, NULL);
		EQUAL(get_number(op, right, &number, 5000), 0);
		EQUAL(number, i);
		join(a);
		join(b);
		EQUAL(atomic_load(&sent), 1);
		EQUAL(atomic_load(&refused), 1);
		CHECK(box->msg == NULL);
		nngio_box_free(box);
		nngio_op_free(op);
	}
	close_handle(left);
	close_handle(right);
}

// The Python Message is dropped while NNG has the message: whoever is last frees it.
static void
a_box_that_is_dropped_while_it_is_being_sent_lives_until_the_end(void)
{
	for (int i = 0; i < rounds(3000); i++) {
		nngio_op *op = new_op();
		left         = open_socket(nng_push0_open, PUSH_FLAGS);
		box          = full_box((uint32_t) i);
		EQUAL(nngio_submit_send(op, left, box, -1), 0);
		nngio_box_free(box);
		if (i % 2) {
			nngio_op_abort(op, NNG_ECANCELED);
			EQUAL(wait_for(op), NNG_ECANCELED);
		} // else it ends as an orphan
		nngio_op_free(op);
		close_handle(left);
	}
}

static void
a_long_header_is_sent_to_an_inproc_peer(void)
{
	nngio_op  *op = new_op();
	nngio_box *got = nngio_box_new();
	char       header[64];

	left  = open_socket(nng_bus0_open_raw, BUS_FLAGS | NNGIO_RAW);
	right = open_socket(nng_bus0_open_raw, BUS_FLAGS | NNGIO_RAW);
	connect_both(left, right);
	memset(header, 'h', sizeof(header));
	header[0] = header[1] = header[2] = 0; // BUS takes four bytes of it for the pipe not to send to
	for (size_t len = 4; len <= sizeof(header); len += 4) {
		box = nngio_box_new();
		EQUAL(nngio_box_fill(box, "body", 4), 0);
		EQUAL(nng_msg_header_append(box->msg, header, len), 0);
		int rv;
		for (int i = 0; i < 100; i++) { // until the listener has its pipe
			EQUAL(try_box(op, left, box, 1000), 0);
			if ((rv = nngio_recv(op, right, 50)) == 0) {
				break;
			}
			EQUAL(rv == NNGIO_AGAIN ? wait_for(op) : rv, NNG_ETIMEDOUT);
			EQUAL(nngio_box_fill(box, "body", 4), 0);
			EQUAL(nng_msg_header_append(box->msg, header, len), 0);
		}
		EQUAL(rv, 0);
		nngio_op_take(op, got);
		EQUAL(nng_msg_len(got->msg), len - 4 + 4);
		EQUAL(memcmp((char *) nng_msg_body(got->msg) + len - 4, "body", 4), 0);
		nngio_box_free(box);
	}
	nngio_box_free(got);
	nngio_op_free(op);
	close_handle(left);
	close_handle(right);
}

int
main(void)
{
	RUN(a_message_that_is_not_sent_is_back_in_its_box_with_its_header);
	RUN(of_two_threads_that_send_one_box_one_does);
	RUN(a_box_that_is_dropped_while_it_is_being_sent_lives_until_the_end);
	RUN(a_long_header_is_sent_to_an_inproc_peer);
	return (0);
}
