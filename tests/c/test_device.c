// Devices that are stopped, begun anew, waited for, freed, and whose sockets are closed, while messages pass.

#include "check.h"

// A sender, a device of two raw sockets, a receiver; both ways where the protocol has both.
static nngio_handle *sender, *front, *back, *receiver;
static uint32_t      all;
static bool          two_ways;
static atomic_bool   done;

static void
open_line(bool pair)
{
	char url[64];

	two_ways = pair;
	sender   = pair ? open_socket(nng_pair1_open, PAIR_FLAGS) : open_socket(nng_push0_open, PUSH_FLAGS);
	front    = pair ? open_socket(nng_pair1_open_raw, PAIR_FLAGS | NNGIO_RAW)
	                : open_socket(nng_pull0_open_raw, PULL_FLAGS | NNGIO_RAW);
	back     = pair ? open_socket(nng_pair1_open_raw, PAIR_FLAGS | NNGIO_RAW)
	                : open_socket(nng_push0_open_raw, PUSH_FLAGS | NNGIO_RAW);
	receiver = pair ? open_socket(nng_pair1_open, PAIR_FLAGS) : open_socket(nng_pull0_open, PULL_FLAGS);
	listen_at(front, fresh_url(url));
	dial_to(sender, url);
	listen_at(back, fresh_url(url));
	dial_to(receiver, url);
	atomic_store(&done, false);
}

static void
close_line(void)
{
	close_handle(sender);
	close_handle(front);
	close_handle(back);
	close_handle(receiver);
}

static nngio_device *
begin_device(void)
{
	nngio_device *d = nngio_device_new();

	CHECK(d != NULL);
	EQUAL(nngio_device_start(d, front, back, true, two_ways), 0);
	return (d);
}

static void *
send_all(void *argument)
{
	nngio_op *op = new_op();

	for (uint32_t i = 0; i < all; i++) {
		send_number(op, argument, i);
	}
	nngio_op_free(op);
	return (NULL);
}

static void *
receive_all(void *argument)
{
	nngio_op *op = new_op();

	for (uint32_t i = 0, number; i < all; i++) {
		EQUAL(get_number(op, argument, &number, 60000), 0);
		EQUAL(number, i);
	}
	atomic_store(&done, true);
	nngio_op_free(op);
	return (NULL);
}

static void
come_and_go(bool pair)
{
	unsigned  seed = 3;
	pthread_t threads[4];
	int       n = 0;
	uint64_t  forwarded = 0;

	all = (uint32_t) rounds(20000);
	open_line(pair);
	threads[n++] = start(send_all, sender);
	threads[n++] = start(receive_all, receiver);
	if (pair) {
		threads[n++] = start(send_all, receiver);
		threads[n++] = start(receive_all, sender);
	}
	while (!atomic_load(&done)) {
		nngio_device *d = begin_device();
		sleep_us((int) dice(&seed, 100));
		EQUAL(nngio_device_result(d), NNGIO_BUSY);
		if (dice(&seed, 4) != 0) {
			nngio_device_stop(d);
			EQUAL(nngio_device_result(d), 0);
			forwarded += nngio_device_forwarded(d, front);
			nngio_device_free(d);
			continue;
		}
		nngio_device_free(d); // it ends by itself
		for (d = nngio_device_new(); nngio_device_start(d, front, back, true, two_ways) == NNG_EBUSY;) {
			sleep_us(1);
		}
		nngio_device_stop(d);
		nngio_device_free(d);
	}
	nngio_device *last = begin_device(); // the other direction may still have some to come
	for (int i = 0; i < n; i++) {
		join(threads[i]);
	}
	nngio_device_stop(last);
	nngio_device_free(last);
	CHECK(forwarded <= all);
	close_line();
}

static void
devices_that_come_and_go_lose_nothing(void)
{
	come_and_go(false);
}

static void
devices_that_come_and_go_lose_nothing_in_either_direction(void)
{
	come_and_go(true);
}

static void *
answer_all(void *argument)
{
	nngio_op *op = new_op();

	for (uint32_t i = 0, number; i < all; i++) {
		EQUAL(get_number(op, argument, &number, 60000), 0);
		EQUAL(number, i);
		send_number(op, argument, number + 1);
	}
	nngio_op_free(op);
	return (NULL);
}

static void *
ask_all(void *argument)
{
	nngio_op *op = new_op();

	for (uint32_t i = 0, number; i < all; i++) {
		send_number(op, argument, i);
		EQUAL(get_number(op, argument, &number, 60000), 0);
		EQUAL(number, i + 1);
	}
	atomic_store(&done, true);
	nngio_op_free(op);
	return (NULL);
}

// Where sends go through a queue of NNG's.
static void
each_request_is_answered_whatever_becomes_of_its_device(void)
{
	unsigned seed = 23;
	char     url[64];

	all      = (uint32_t) rounds(10000);
	two_ways = true;
	sender   = open_socket(nng_req0_open, REQ_FLAGS);
	front    = open_socket(nng_rep0_open_raw, BUS_FLAGS | NNGIO_RAW);
	back     = open_socket(nng_req0_open_raw, BUS_FLAGS | NNGIO_RAW);
	receiver = open_socket(nng_rep0_open, REP_FLAGS);
	listen_at(front, fresh_url(url));
	dial_to(sender, url);
	listen_at(back, fresh_url(url));
	dial_to(receiver, url);
	atomic_store(&done, false);
	pthread_t asking = start(ask_all, sender), answering = start(answer_all, receiver);
	while (!atomic_load(&done)) {
		nngio_device *d = begin_device();
		sleep_us((int) dice(&seed, 150));
		nngio_device_stop(d);
		nngio_device_free(d);
	}
	join(asking);
	join(answering);
	close_line();
}

static void *
join_device(void *device)
{
	nngio_op *op = new_op();
	int       rv = nngio_begin_join(op, device);

	if (rv == NNGIO_PENDING) {
		rv = wait_for(op);
	}
	nngio_op_free(op);
	return ((void *) (intptr_t) rv);
}

static void *
abort_joins(void *device)
{
	nngio_op *op = new_op();

	for (int i = 0; i < 5; i++) {
		int rv = nngio_begin_join(op, device);
		if (rv == NNGIO_PENDING) {
			sleep_us(20);
			nngio_op_abort(op, NNG_ETIMEDOUT);
			rv = wait_for(op);
		}
		CHECK(rv == NNG_ETIMEDOUT || rv == NNG_ECLOSED || rv == 0);
	}
	nngio_op_free(op);
	return (NULL);
}

static void *
close_one(void *handle)
{
	nngio_handle_close(handle);
	return (NULL);
}

static void *
stop(void *device)
{
	nngio_device_stop(device);
	return (NULL);
}

static void *
send_some(void *argument)
{
	nngio_op *op = new_op();

	for (uint32_t i = 0; i < 8; i++) {
		(void) try_number(op, argument, i, 1);
	}
	nngio_op_free(op);
	return (NULL);
}

// Closing either socket, or both, and stopping, at once, beside threads that wait and messages that come.
static void
whatever_ends_a_device_ends_it_for_all_who_wait(void)
{
	unsigned seed = 11;

	for (int i = 0; i < rounds(400); i++) {
		pthread_t threads[8];
		int       n = 0;

		open_line(i % 2 != 0);
		nngio_device *d = begin_device();
		unsigned      way = 1 + dice(&seed, 7);
		pthread_t     joiner = start(join_device, d);
		void         *outcome;

		threads[n++] = start(send_some, sender);
		threads[n++] = start(abort_joins, d);
		sleep_us((int) dice(&seed, 200));
		if (way & 1) {
			threads[n++] = start(close_one, front);
		}
		if (way & 2) {
			threads[n++] = start(close_one, back);
		}
		if (way & 4) {
			threads[n++] = start(stop, d);
		}
		pthread_join(joiner, &outcome);
		CHECK(outcome == NULL || (intptr_t) outcome == NNG_ECLOSED);
		for (int k = 0; k < n; k++) {
			join(threads[k]);
		}
		EQUAL(nngio_device_result(d), way == 4 ? 0 : way < 4 ? NNG_ECLOSED : (intptr_t) outcome);
		nngio_device_free(d);
		close_line();
	}
}

// Nobody holds it any more, but for those who wait.
static void
a_device_that_is_freed_ends(void)
{
	for (int i = 0; i < rounds(300); i++) {
		open_line(i % 2 != 0);
		nngio_op     *op = new_op();
		nngio_device *d  = begin_device();
		EQUAL(nngio_begin_join(op, d), NNGIO_PENDING);
		nngio_device_free(d);
		EQUAL(wait_for(op), 0);
		nngio_op_free(op);
		close_line();
	}
}

// A receive beside the device is given what a device gives back.
static void
what_is_given_back_goes_to_who_waits(void)
{
	char url[64];

	for (int i = 0; i < rounds(500); i++) {
		uint32_t  number;
		nngio_op *op = new_op(), *by_hand = new_op();

		two_ways = false;
		sender   = open_socket(nng_push0_open, PUSH_FLAGS);
		front    = open_socket(nng_pull0_open_raw, PULL_FLAGS | NNGIO_RAW);
		back     = open_socket(nng_push0_open_raw, PUSH_FLAGS | NNGIO_RAW);
		listen_at(front, fresh_url(url));
		dial_to(sender, url);
		nngio_device *d = begin_device();
		send_number(op, sender, (uint32_t) i); // which the device can't send
		EQUAL(nngio_submit_recv(by_hand, front, 60000), 0);
		nngio_device_stop(d);
		EQUAL(wait_for(by_hand), 0);
		EQUAL(number_of(by_hand), i);
		by_hand->kind = NNGIO_NONE; // it is looked at
		nngio_op_free(by_hand);
		EQUAL(get_number(op, front, &number, 0), NNG_ETIMEDOUT);
		nngio_device_free(d);
		nngio_op_free(op);
		close_handle(sender);
		close_handle(front);
		close_handle(back);
	}
}

int
main(void)
{
	RUN(devices_that_come_and_go_lose_nothing);
	RUN(devices_that_come_and_go_lose_nothing_in_either_direction);
	RUN(each_request_is_answered_whatever_becomes_of_its_device);
	RUN(whatever_ends_a_device_ends_it_for_all_who_wait);
	RUN(a_device_that_is_freed_ends);
	RUN(what_is_given_back_goes_to_who_waits);
	return (0);
}
