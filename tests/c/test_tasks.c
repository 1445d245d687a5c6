// NNG's task threads, of which one looks for the next task before it sleeps, and the others are not woken for that; and threads that
// run tasks instead of them.

#include "check.h"
#include "nngio_features.h"

#define THREADS 4

static atomic_int met, ended;

// Ends when as many of these run at the same time as there are threads.
static void
meet_the_others(void *argument)
{
	(void) argument;
	meet(&met, THREADS);
	atomic_fetch_add(&ended, 1);
}

static void
as_many_tasks_run_together_as_there_are_threads(void)
{
	nng_aio *aios[THREADS];
	unsigned seed = 3;

	for (int i = 0; i < THREADS; i++) {
		EQUAL(nng_aio_alloc(&aios[i], meet_the_others, NULL), 0);
	}
	for (int turn = 0; turn < rounds(2000); turn++) {
		atomic_store(&met, 0);
		atomic_store(&ended, 0);
		for (int i = 0; i < THREADS; i++) {
			nng_aio_set_timeout(aios[i], NNG_DURATION_INFINITE);
			nng_sleep_aio(0, aios[i]);
			for (unsigned n = dice(&seed, 2000); n > 0; n--) {
				__asm__ volatile("");
			}
		}
		for (int i = 0; i < THREADS; i++) {
			nng_aio_wait(aios[i]);
		}
		EQUAL(atomic_load(&ended), THREADS);
	}
	for (int i = 0; i < THREADS; i++) {
		nng_aio_free(aios[i]);
	}
}

// NNG's, if it has our patch.
extern void nng_aio_set_prompt(nng_aio *, bool) __attribute__((weak));
extern void nng_call(void (*)(void *), void *, bool) __attribute__((weak));

static pthread_t  holder;
static atomic_int here, elsewhere;

static void
where(void *argument)
{
	(void) argument;
	atomic_fetch_add(pthread_equal(pthread_self(), holder) ? &here : &elsewhere, 1);
}

static nng_aio *
receiver(nng_socket s, bool prompt)
{
	nng_aio *aio;

	EQUAL(nng_aio_alloc(&aio, where, NULL), 0);
	nng_aio_set_prompt(aio, prompt);
	nng_aio_set_timeout(aio, 10000);
	nng_recv_aio(s, aio);
	return (aio);
}

static void
let_go(nng_aio *aio)
{
	nng_aio_wait(aio);
	EQUAL(nng_aio_result(aio), 0);
	nng_msg_free(nng_aio_get_msg(aio));
	nng_aio_set_msg(aio, NULL);
}

static void
let_receive(nng_aio *aio)
{
	let_go(aio);
	nng_aio_free(aio);
}

static void
publish(void *arg)
{
	nng_socket pub = *(nng_socket *) arg;
	nng_msg *msg;

	EQUAL(nng_msg_alloc(&msg, 1), 0);
	EQUAL(nng_sendmsg(pub, msg, 0), 0);
	EQUAL(atomic_load(&here), 0);
}

static void
publish_again(void *arg)
{
	nng_call(publish, arg, false);
}

#define SUBS 64

// The message of a PUB leads to some tasks for each SUB.
static void
a_thread_that_holds_tasks_runs_them_itself_but_not_too_many(void)
{
	nng_socket pub, subs[SUBS];
	nng_aio   *aios[SUBS];
	nng_msg   *msg;
	char       url[64];

	if (nng_call == NULL) {
		return;
	}
	holder = pthread_self();
	fresh_url(url);
	EQUAL(nng_pub0_open(&pub), 0);
	EQUAL(nng_listen(pub, url, NULL, 0), 0);
	for (int i = 0; i < SUBS; i++) {
		EQUAL(nng_sub0_open(&subs[i]), 0);
		EQUAL(nng_setopt(subs[i], NNG_OPT_SUB_SUBSCRIBE, "", 0), 0);
		EQUAL(nng_dial(subs[i], url, NULL, 0), 0);
		EQUAL(nng_setopt_ms(subs[i], NNG_OPT_RECVTIMEO, 100), 0);
		do { // until the PUB has its pipe
			publish(&pub);
		} while (nng_recvmsg(subs[i], &msg, 0) != 0);
		nng_msg_free(msg);
	}
	for (int n = 1; n <= SUBS; n *= 8) {
		sleep_us(50000); // what was published before has come, and is not received: so drop it
		for (int i = 0; i < SUBS; i++) {
			while (nng_recvmsg(subs[i], &msg, NNG_FLAG_NONBLOCK) == 0) {
				nng_msg_free(msg);
			}
		}
		for (int i = 0; i < n; i++) {
			aios[i] = receiver(subs[i], true);
		}
		atomic_store(&here, 0);
		atomic_store(&elsewhere, 0);
		nng_call(publish_again, &pub, false);
		CHECK(atomic_load(&here) > 0);
		for (int i = 0; i < n; i++) {
			let_receive(aios[i]);
		}
		EQUAL(atomic_load(&here) + atomic_load(&elsewhere), n);
		CHECK((atomic_load(&elsewhere) > 0) == (n == SUBS));
	}
	// One that isn't prompt is called where it always was.
	aios[0] = receiver(subs[0], false);
	atomic_store(&here, 0);
	nng_call(publish, &pub, false);
	let_receive(aios[0]);
	EQUAL(atomic_load(&here), 0);
	for (int i = 0; i < SUBS; i++) {
		EQUAL(nng_close(subs[i]), 0);
	}
	EQUAL(nng_close(pub), 0);
}

extern bool nng_poll(void) __attribute__((weak));
extern void nng_poll_ends(void) __attribute__((weak));

static atomic_bool over;

// Two sockets that are connected over TCP.
static void
open_two(nng_socket *a, nng_socket *b)
{
	nng_listener l;
	char         url[64];
	int          port;

	EQUAL(nng_pair0_open(a), 0);
	EQUAL(nng_pair0_open(b), 0);
	EQUAL(nng_listen(*a, "tcp://127.0.0.1:0", &l, 0), 0);
	EQUAL(nng_listener_get_int(l, NNG_OPT_TCP_BOUND_PORT, &port), 0);
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
	EQUAL(nng_dial(*b, url, NULL, 0), 0);
}

static void *
poll_on(void *argument)
{
	atomic_int *found = argument;

	while (!atomic_load(&over)) {
		atomic_fetch_add(found, nng_poll() ? 1 : 0);
	}
	return (NULL);
}

// What they do is NNG's own thread's work, which goes on beside them.
static void
connections_come_and_go_while_threads_see_to_them(void)
{
	atomic_int found = 0;
	pthread_t  helpers[2];
	unsigned   seed = 11;

	if (nng_poll == NULL) {
		return;
	}
	atomic_store(&over, false);
	for (int i = 0; i < 2; i++) {
		helpers[i] = start(poll_on, &found);
	}
	for (int i = 0; i < rounds(500); i++) {
		nng_socket a, b;
		nng_msg   *msg;
		open_two(&a, &b);
		for (unsigned n = dice(&seed, 20); n > 0; n--) {
			EQUAL(nng_msg_alloc(&msg, 8), 0);
			EQUAL(nng_sendmsg(b, msg, 0), 0);
			EQUAL(nng_recvmsg(a, &msg, 0), 0);
			EQUAL(nng_sendmsg(a, msg, 0), 0);
			EQUAL(nng_recvmsg(b, &msg, 0), 0);
			nng_msg_free(msg);
		}
		if (dice(&seed, 2) == 0) {
			EQUAL(nng_msg_alloc(&msg, 100000), 0);
			EQUAL(nng_sendmsg(b, msg, 0), 0); // and is on its way
		}
		nng_close(dice(&seed, 2) == 0 ? a : b);
		nng_close(a);
		nng_close(b);
	}
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++) {
		join(helpers[i]);
	}
	CHECK(atomic_load(&found) > 0);
}

static void
arrived(void *argument)
{
	atomic_store((atomic_bool *) argument, true);
}

// NNG's own thread rests while there is one that looks often, and comes back by itself when there is none.
static void
messages_come_when_the_thread_that_looked_for_them_does_not_any_more(void)
{
	unsigned seed = 7;

	if (nng_poll == NULL) {
		return;
	}
	for (int i = 0; i < rounds(300); i++) {
		nng_socket  a, b;
		nng_aio    *aio;
		nng_msg    *msg;
		atomic_bool here_now;

		open_two(&a, &b);
		EQUAL(nng_socket_set_ms(a, NNG_OPT_RECVTIMEO, 5000), 0);
		EQUAL(nng_aio_alloc(&aio, arrived, &here_now), 0);
		nng_aio_set_timeout(aio, 5000);
		for (unsigned turns = dice(&seed, 4) + 1; turns > 0; turns--) {
			for (int n = 0; n < 40; n++) { // of which some may have been taken by NNG's thread
				atomic_store(&here_now, false);
				nng_recv_aio(a, aio);
				EQUAL(nng_msg_alloc(&msg, 8), 0);
				EQUAL(nng_sendmsg(b, msg, 0), 0);
				while (!atomic_load(&here_now)) {
					nng_poll();
				}
				let_go(aio);
			}
			if (dice(&seed, 2) == 0) {
				nng_poll_ends();
			}
			for (int n = 0; n < 4; n++) {
				EQUAL(nng_msg_alloc(&msg, 8), 0);
				EQUAL(nng_sendmsg(b, msg, 0), 0);
				EQUAL(nng_recvmsg(a, &msg, 0), 0);
				nng_msg_free(msg);
			}
		}
		nng_aio_free(aio);
		nng_close(a);
		nng_close(b);
	}
}

int
main(void)
{
#ifdef NNGIO_HAVE_nng_init_set_parameter
	EQUAL(nngio_init_set_parameter(NNG_INIT_NUM_TASK_THREADS, THREADS), 0);
#endif
	EQUAL(nngio_init(), 0);
	RUN(as_many_tasks_run_together_as_there_are_threads);
	RUN(a_thread_that_holds_tasks_runs_them_itself_but_not_too_many);
	RUN(connections_come_and_go_while_threads_see_to_them);
	RUN(messages_come_when_the_thread_that_looked_for_them_does_not_any_more);
	return (0);
}
