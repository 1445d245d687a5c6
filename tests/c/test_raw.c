// Sockets that keep their messages in NNG's own queues: raw ones, BUS, and PAIR1's polyamorous mode.  Each of
// these tests crashes, hangs or leaks without the patches message-queue and unsent-message in nng_src/patches.
//
// They are run for an NNG that has the patches (-DNNGIO_NNG_PATCHED).

#include <malloc.h>

#include "check.h"

static nng_socket  shared;
static atomic_bool finished;
static char        url[64];

// One with a header, which raw sockets need.
static nng_msg *
new_message(uint32_t number)
{
	nng_msg *m;

	EQUAL(nng_msg_alloc(&m, 100), 0);
	EQUAL(nng_msg_header_append_u32(m, 0x80000001), 0);
	memcpy(nng_msg_body(m), &number, sizeof(number));
	return (m);
}

// A raw REQ whose queue of that size is full, and whose peer takes nothing by itself: each of their pipes has
// one more.
static void
open_full(nng_socket *sender, nng_socket *receiver, int size)
{
	EQUAL(nng_req0_open_raw(sender), 0);
	EQUAL(nng_socket_set_int(*sender, NNG_OPT_SENDBUF, size), 0);
	EQUAL(nng_socket_set_ms(*sender, NNG_OPT_SENDTIMEO, 2000), 0);
	EQUAL(nng_rep0_open_raw(receiver), 0);
	EQUAL(nng_socket_set_int(*receiver, NNG_OPT_RECVBUF, 0), 0);
	EQUAL(nng_socket_set_ms(*receiver, NNG_OPT_RECVTIMEO, 1000), 0);
	EQUAL(nng_listen(*sender, fresh_url(url), NULL, 0), 0);
	EQUAL(nng_dial(*receiver, url, NULL, 0), 0);
	for (int number = 0; number < size + 2; number++) {
		EQUAL(nng_sendmsg(*sender, new_message((uint32_t) number), 0), 0);
	}
}

static uint32_t
receive_number(nng_socket s)
{
	nng_msg *m;
	uint32_t number;

	EQUAL(nng_recvmsg(s, &m, 0), 0);
	memcpy(&number, nng_msg_body(m), sizeof(number));
	nng_msg_free(m);
	return (number);
}

static void
who_waits_for_room_has_it_as_soon_as_there_is_some(void)
{
	nng_socket sender, receiver;
	nng_aio   *aios[2];
	nng_msg   *m;

	open_full(&sender, &receiver, 3);
	for (int i = 0; i < 2; i++) {
		EQUAL(nng_aio_alloc(&aios[i], NULL, NULL), 0);
		nng_aio_set_timeout(aios[i], 2000);
		nng_aio_set_msg(aios[i], new_message(100));
		nng_send_aio(sender, aios[i]);
	}
	receive_number(receiver);
	nng_aio_wait(aios[0]);
	EQUAL(nng_aio_result(aios[0]), 0);
	m = new_message(101);
	EQUAL(nng_sendmsg(sender, m, NNG_FLAG_NONBLOCK), NNG_EAGAIN); // it does not join those who wait
	nng_msg_free(m);
	receive_number(receiver);
	nng_aio_wait(aios[1]);
	EQUAL(nng_aio_result(aios[1]), 0);
	for (int i = 0; i < 2; i++) {
		nng_aio_free(aios[i]);
	}
	nng_close(sender);
	nng_close(receiver);
}

static void
a_bigger_queue_has_room_for_who_waits(void)
{
	nng_socket sender, receiver;
	nng_aio   *aio;

	open_full(&sender, &receiver, 1);
	EQUAL(nng_aio_alloc(&aio, NULL, NULL), 0);
	nng_aio_set_timeout(aio, 2000);
	nng_aio_set_msg(aio, new_message(100));
	nng_send_aio(sender, aio);
	EQUAL(nng_socket_set_int(sender, NNG_OPT_SENDBUF, 2), 0);
	nng_aio_wait(aio);
	EQUAL(nng_aio_result(aio), 0);
	nng_aio_free(aio);
	nng_close(sender);
	nng_close(receiver);
}

static void
a_smaller_queue_drops_its_oldest_wherever_they_lie(void)
{
	enum { SIZE = 4 };

	for (int turned = 0; turned < 2 * SIZE; turned++) {
		nng_socket sender, receiver;
		uint32_t   last = 0, first = 0, number;

		open_full(&sender, &receiver, SIZE);
		for (int i = 0; i < turned; i++) {
			first = receive_number(receiver);
			last  = 1000 + (uint32_t) i;
			EQUAL(nng_sendmsg(sender, new_message(last), 0), 0);
		}
		EQUAL(nng_socket_set_int(sender, NNG_OPT_SENDBUF, 0), 0); // which leaves one
		for (int i = 0; i < 3; i++) { // what the pipes have, then that one
			number = receive_number(receiver);
			CHECK(number > first || first == 0);
			first = number;
		}
		CHECK(last == 0 || first == last);
		nng_close(sender);
		nng_close(receiver);
	}
}

static void *
come_and_go_talking(void *argument)
{
	opener   open = *(const opener *) argument;
	unsigned seed = 1;

	for (int i = 0; i < rounds(1500); i++) {
		nng_socket s;
		nng_msg   *m;

		EQUAL(open(&s), 0);
		EQUAL(nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, 20), 0);
		EQUAL(nng_socket_set_ms(s, NNG_OPT_SENDTIMEO, 20), 0);
		EQUAL(nng_dial(s, url, NULL, 0), 0);
		for (unsigned n = dice(&seed, 6) + 1; n > 0; n--) {
			if (open == nng_rep0_open && nng_recvmsg(s, &m, 0) == 0) {
				nng_msg_free(m);
			}
			EQUAL(nng_msg_alloc(&m, 1000), 0);
			if (nng_sendmsg(s, m, 0) != 0) {
				nng_msg_free(m);
			}
		}
		nng_close(s);
	}
	return (NULL);
}

static void *
send_to_whoever_is_there(void *argument)
{
	while (!atomic_load(&finished)) {
		nng_msg *m = new_message(0);

		if (nng_sendmsg(shared, m, 0) != 0) {
			nng_msg_free(m);
		}
	}
	return (argument);
}

static void *
drop_what_comes(void *argument)
{
	while (!atomic_load(&finished)) {
		nng_msg *m;

		if (nng_recvmsg(shared, &m, 0) == 0) {
			nng_msg_free(m);
		}
	}
	return (argument);
}

static void
talk_to_peers_that_come_and_go(opener open, const opener *peer)
{
	pthread_t threads[2], peers[2];

	atomic_store(&finished, false);
	EQUAL(open(&shared), 0);
	EQUAL(nng_socket_set_ms(shared, NNG_OPT_RECVTIMEO, 10), 0);
	EQUAL(nng_socket_set_ms(shared, NNG_OPT_SENDTIMEO, 10), 0);
	EQUAL(nng_listen(shared, fresh_url(url), NULL, 0), 0);
	threads[0] = start(send_to_whoever_is_there, NULL);
	threads[1] = start(drop_what_comes, NULL);
	for (int i = 0; i < 2; i++) {
		peers[i] = start(come_and_go_talking, (void *) peer);
	}
	for (int i = 0; i < 2; i++) {
		join(peers[i]);
	}
	atomic_store(&finished, true);
	for (int i = 0; i < 2; i++) {
		join(threads[i]);
	}
	nng_close(shared);
}

static void
a_socket_keeps_nothing_of_peers_that_leave_while_they_talk(void)
{
	static const opener cases[][2] = {
		{ nng_respondent0_open_raw, nng_surveyor0_open },
		{ nng_req0_open_raw, nng_rep0_open },
		{ nng_rep0_open_raw, nng_req0_open },
		{ nng_surveyor0_open_raw, nng_respondent0_open },
		{ nng_bus0_open, nng_bus0_open },
		{ nng_pair1_open_poly, nng_pair1_open },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t before = 0;

		for (int turn = 0; turn < 2; turn++) { // the first fills caches
			before = mallinfo2().uordblks;
			talk_to_peers_that_come_and_go(cases[i][0], &cases[i][1]);
		}
		// Without the patch it is some 50,000 bytes.
		CHECK(mallinfo2().uordblks < before + 25000);
	}
}

int
main(void)
{
#ifdef NNGIO_NNG_PATCHED
	RUN(who_waits_for_room_has_it_as_soon_as_there_is_some);
	RUN(a_bigger_queue_has_room_for_who_waits);
	RUN(a_smaller_queue_drops_its_oldest_wherever_they_lie);
	RUN(a_socket_keeps_nothing_of_peers_that_leave_while_they_talk);
#endif
	return (0);
}
