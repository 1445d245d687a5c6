// Pipes: who is told of what, in what order, and who is admitted; while peers come and go and sockets are closed.

#include "check.h"

#define READERS 3
#define PEERS 4

static nngio_handle *server;
static char          url[64];
static atomic_int    running;

static nngio_admission *
at_most(int64_t peers)
{
	nngio_admission *a = nngio_admission_new(0, false, peers);
	CHECK(a != NULL);
	return (a);
}

static bool
next_event(nngio_op *op, nngio_watch *w, uint32_t *id, bool *connected)
{
	nngio_event *event;
	int          rv;

	for (;;) {
		nngio_watch_take(w, &event);
		if (event != NULL) {
			*id        = event->peer->id;
			*connected = event->connected;
			nngio_event_free(&event);
			CHECK(event == NULL);
			return (true);
		}
		if ((rv = nngio_begin_events(op, w)) == NNGIO_PENDING) {
			rv = wait_for(op);
		}
		if (rv == NNG_ECLOSED) {
			return (false);
		}
		EQUAL(rv, 0);
	}
}

static void *
come_and_go(void *argument)
{
	for (int i = 0; i < (int) (intptr_t) argument; i++) {
		nngio_handle *peer = open_socket(nng_bus0_open, BUS_FLAGS);
		nng_socket    s    = { .id = nngio_handle_id(peer) };
		int           rv   = nng_dial(s, url, NULL, NNG_FLAG_NONBLOCK);
		if (rv != 0) {
			EQUAL(rv, NNG_ECONNREFUSED); // the server is closed
		}
		if (i % 2 == 0) {
			sleep_us(300);
		}
		close_handle(peer);
	}
	atomic_fetch_sub(&running, 1);
	return (NULL);
}

// Each reader sees for each pipe that it is connected and then that it isn't; returns how many pipes there were.
static void *
read_all(void *argument)
{
	nngio_watch *w   = argument;
	nngio_op    *op  = new_op();
	size_t       max = 64, n = 0, pipes = 0;
	uint32_t    *open = malloc(max * sizeof(*open)), id;
	bool         connected;

	while (next_event(op, w, &id, &connected)) {
		size_t i = 0;
		while (i < n && open[i] != id) {
			i++;
		}
		EQUAL(i == n, connected);
		if (connected) {
			if (n == max) {
				max *= 2;
				open = realloc(open, max * sizeof(*open));
			}
			open[n++] = id;
			pipes++;
		} else {
			open[i] = open[--n];
		}
	}
	EQUAL(n, 0); // the socket is closed
	free(open);
	nngio_op_free(op);
	return ((void *) pipes);
}

static void
every_reader_sees_every_pipe_come_and_then_go(void)
{
	pthread_t    readers[READERS], peers[PEERS];
	nngio_watch *watches[READERS];
	void        *pipes[READERS];

	server = open_socket(nng_bus0_open, BUS_FLAGS);
	listen_at(server, fresh_url(url));
	for (int i = 0; i < READERS; i++) {
		CHECK((watches[i] = nngio_watch_new(server, 1000000)) != NULL);
		readers[i] = start(read_all, watches[i]);
	}
	atomic_store(&running, PEERS);
	for (int i = 0; i < PEERS; i++) {
		peers[i] = start(come_and_go, (void *) (intptr_t) rounds(500));
	}
	for (int i = 0; i < PEERS; i++) {
		join(peers[i]);
	}
	close_handle(server);
	for (int i = 0; i < READERS; i++) {
		EQUAL(pthread_join(readers[i], &pipes[i]), 0);
		EQUAL((intptr_t) pipes[i], (intptr_t) pipes[0]);
		EQUAL(nngio_watch_skipped(watches[i]), 0);
		CHECK(nngio_watch_ended(watches[i]));
		nngio_watch_free(watches[i]);
	}
	CHECK((intptr_t) pipes[0] > 0);
}

// The same with watches that come and go, some read and some not, and a socket that is closed in the middle.
static void *
watch_now_and_then(void *argument)
{
	unsigned seed = (unsigned) (uintptr_t) argument;
	uint32_t ids[64];

	while (atomic_load(&running) != 0) {
		nngio_watch *w = nngio_watch_new(server, 1 + dice(&seed, 4));
		nngio_event *event;
		CHECK(w != NULL);
		sleep_us((int) dice(&seed, 500));
		for (unsigned i = dice(&seed, 5); i > 0; i--) {
			nngio_watch_take(w, &event);
			if (dice(&seed, 2) == 0) {
				nngio_watch_return(w, &event);
				CHECK(event == NULL);
			}
			nngio_event_free(&event);
		}
		(void) nngio_pipes(server, ids, 64);
		(void) nngio_watch_skipped(w);
		nngio_watch_free(w);
	}
	return (NULL);
}

// Waits that are aborted at all times.
static void *
wait_now_and_then(void *argument)
{
	unsigned     seed = (unsigned) (uintptr_t) argument;
	nngio_op    *op   = new_op();
	nngio_watch *w    = nngio_watch_new(server, 10);

	while (atomic_load(&running) != 0) {
		int rv = dice(&seed, 2) ? nngio_begin_peers(op, server, 1 + dice(&seed, PEERS)) : nngio_begin_events(op, w);
		if (rv == NNGIO_PENDING) {
			sleep_us((int) dice(&seed, 300));
			nngio_op_abort(op, NNG_ETIMEDOUT);
			rv = wait_for(op);
		}
		CHECK(rv == 0 || rv == NNG_ETIMEDOUT || rv == NNG_ECLOSED);
	}
	nngio_op_free(op);
	nngio_watch_free(w);
	return (NULL);
}

// Other rules all the time, of which some refuse everybody.
static void *
change_the_rules(void *argument)
{
	unsigned seed = (unsigned) (uintptr_t) argument;

	while (atomic_load(&running) != 0) {
		nngio_admission *a = dice(&seed, 4) == 0 ? NULL : at_most(dice(&seed, 3));
		EQUAL(nngio_admission_set(server, a), 0);
		if (a != NULL) {
			nngio_admission_free(a); // the socket has it
		}
		sleep_us((int) dice(&seed, 200));
	}
	return (NULL);
}

static void
watches_waits_and_rules_may_change_while_peers_come_and_go_and_the_socket_closes(void)
{
	for (int i = 0; i < rounds(30); i++) {
		pthread_t threads[PEERS + 3];

		server = open_socket(nng_bus0_open, BUS_FLAGS);
		listen_at(server, fresh_url(url));
		atomic_store(&running, PEERS);
		threads[PEERS]     = start(watch_now_and_then, (void *) (uintptr_t) (3 * i + 1));
		threads[PEERS + 1] = start(wait_now_and_then, (void *) (uintptr_t) (3 * i + 2));
		threads[PEERS + 2] = start(change_the_rules, (void *) (uintptr_t) (3 * i + 3));
		for (int k = 0; k < PEERS; k++) {
			threads[k] = start(come_and_go, (void *) (intptr_t) 20);
		}
		sleep_us(i % 10 * 1000);
		nngio_handle_close(server);
		for (int k = 0; k < PEERS + 3; k++) {
			join(threads[k]);
		}
		EQUAL(nngio_pipes(server, NULL, 0), 0);
		nngio_handle_free(server);
	}
}

// A limit holds at every moment, and each place is used again.
static void
there_are_never_more_peers_than_there_may_be(void)
{
	pthread_t        peers[PEERS], reader;
	nngio_watch     *w;
	nngio_admission *a = at_most(2);
	uint64_t         totals[3], refused[1];
	uint32_t         ids[4];
	void            *pipes;

	server = open_socket(nng_bus0_open, BUS_FLAGS);
	EQUAL(nngio_admission_set(server, a), 0);
	CHECK((w = nngio_watch_new(server, 1000000)) != NULL);
	reader = start(read_all, w);
	listen_at(server, fresh_url(url));
	atomic_store(&running, PEERS);
	for (int i = 0; i < PEERS; i++) {
		peers[i] = start(come_and_go, (void *) (intptr_t) rounds(300));
	}
	while (atomic_load(&running) != 0) {
		CHECK(nngio_pipes(server, ids, 4) <= 2);
		sleep_us(50);
	}
	for (int i = 0; i < PEERS; i++) {
		join(peers[i]);
	}
	close_handle(server);
	EQUAL(pthread_join(reader, &pipes), 0);
	nngio_watch_free(w);
	nngio_admission_counters(a, totals, refused);
	CHECK((uint64_t) (uintptr_t) pipes <= totals[0]);
	CHECK(totals[0] > 0);
	EQUAL(totals[1], 0);
	nngio_admission_free(a);
}

// Nobody reads: what is kept doesn't grow, and what comes out is in order.
static void
what_nobody_reads_is_skipped_in_pairs(void)
{
	nngio_watch *w;
	nngio_op    *op = new_op();
	uint32_t     id;
	bool         connected;
	int          events = 0, pipes = 0, open = 0, gone = rounds(200);

	server = open_socket(nng_bus0_open, BUS_FLAGS);
	listen_at(server, fresh_url(url));
	CHECK((w = nngio_watch_new(server, 10)) != NULL);
	for (int i = 0; i < gone; i++) {
		nngio_handle *peer = open_socket(nng_bus0_open, BUS_FLAGS);
		dial_to(peer, url);
		close_handle(peer);
	}
	close_handle(server);
	while (next_event(op, w, &id, &connected)) {
		events++;
		pipes += connected;
		open += connected ? 1 : -1;
		CHECK(open >= 0);
	}
	EQUAL(open, 0);
	CHECK(events <= 12);
	EQUAL(pipes + (int) nngio_watch_skipped(w), gone);
	nngio_watch_free(w);
	nngio_op_free(op);
}

static void
an_operation_that_is_dropped_while_it_waits_is_let_go_of(void)
{
	nngio_queue *q = nngio_queue_new();
	nngio_watch *w;
	nngio_op    *ops[3], *out[4];

	server = open_socket(nng_bus0_open, BUS_FLAGS);
	CHECK((w = nngio_watch_new(server, 10)) != NULL);
	for (int i = 0; i < 3; i++) {
		ops[i] = new_op();
		if (i != 0) {
			EQUAL(nngio_op_attach(ops[i], q, 7), 0);
		}
	}
	EQUAL(nngio_begin_peers(ops[0], server, 1), NNGIO_PENDING);
	nngio_op_free(ops[0]);
	EQUAL(nngio_begin_events(ops[1], w), NNGIO_PENDING);
	EQUAL(nngio_ring_events(ops[2], w), 0);
	EQUAL(nngio_queue_drain(q, out, 4), 0);
	nngio_watch_free(w); // ends both
	EQUAL(nngio_queue_drain(q, out, 4), 2);
	for (int i = 1; i < 3; i++) {
		nngio_op_settle(ops[i]);
		EQUAL(ops[i]->result, 0);
		nngio_op_free(ops[i]);
	}
	nngio_queue_free(q);
	close_handle(server);
}

int
main(void)
{
	RUN(every_reader_sees_every_pipe_come_and_then_go);
	RUN(watches_waits_and_rules_may_change_while_peers_come_and_go_and_the_socket_closes);
	RUN(there_are_never_more_peers_than_there_may_be);
	RUN(what_nobody_reads_is_skipped_in_pairs);
	RUN(an_operation_that_is_dropped_while_it_waits_is_let_go_of);
	return (0);
}
