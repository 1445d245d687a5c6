// Opening sockets, TLS, peers in other processes, and giving up.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h" // before NNG's other headers, which need the first

#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>

void
check(int rv, const char *what)
{
	if (rv != 0) {
		fprintf(stderr, "%s: %s\n", what, nng_strerror(rv));
		exit(1);
	}
}

void
sleep_ms(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000 };
	nanosleep(&ts, NULL);
}

// `buffer`: messages that may wait on either side of a PAIR.
nng_socket
open_socket(enum kind kind, int buffer)
{
	static int (*const openers[])(nng_socket *) = { nng_req0_open, nng_rep0_open, nng_push0_open,
		nng_pull0_open, nng_pair0_open, nng_pub0_open, nng_sub0_open };
	nng_socket s;

	check(openers[kind](&s), "open");
	if (kind == PAIR) {
		check(nng_socket_set_int(s, NNG_OPT_SENDBUF, buffer), "send-buffer");
		check(nng_socket_set_int(s, NNG_OPT_RECVBUF, buffer), "recv-buffer");
	}
	if (kind == SUB) {
		check(nng_socket_set(s, NNG_OPT_SUB_SUBSCRIBE, "", 0), "subscribe");
	}
	return (s);
}

static nng_tls_config *
tls_config(const job *j, bool server)
{
	nng_tls_config *config;
	char            path[512];

	check(nng_tls_config_alloc(&config, server ? NNG_TLS_MODE_SERVER : NNG_TLS_MODE_CLIENT), "tls");
	if (server) {
		snprintf(path, sizeof(path), "%s/server.pem", j->tls); // certificate and key
		check(nng_tls_config_cert_key_file(config, path, NULL), "tls certificate");
	} else {
		snprintf(path, sizeof(path), "%s/ca.pem", j->tls);
		check(nng_tls_config_ca_file(config, path), "tls authority");
		check(nng_tls_config_server_name(config, "localhost"), "tls name");
	}
	return (config);
}

void
do_listen(nng_socket s, const job *j)
{
	nng_listener l;

	check(nng_listener_create(&l, s, j->url), "listener");
	if (j->tls[0] != '\0') {
		check(nng_listener_set_ptr(l, NNG_OPT_TLS_CONFIG, tls_config(j, true)), "tls");
	}
	check(nng_listener_start(l, 0), "listen");
}

// Returns when connected; waits for a listener that is late.
void
do_dial(nng_socket s, const job *j)
{
	nng_dialer d;
	int        rv;

	check(nng_dialer_create(&d, s, j->url), "dialer");
	if (j->tls[0] != '\0') {
		check(nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, tls_config(j, false)), "tls");
	}
	for (int i = 0; (rv = nng_dialer_start(d, 0)) == NNG_ECONNREFUSED && i < 500; i++) {
		sleep_ms(10);
	}
	check(rv, "dial");
}

nng_msg *
new_message(const job *j)
{
	nng_msg *msg;

	check(nng_msg_alloc(&msg, j->size), "message");
	memcpy(nng_msg_body(msg), j->payload, j->size);
	return (msg);
}

// Runs `peer` in a child; whoever started this process ends both.  To be called before NNG has started any thread.
void
fork_peer(const job *j, void (*peer)(const job *))
{
	if (j->processes && fork() == 0) {
		peer(j);
		exit(0);
	}
}

struct start {
	void (*run)(void *);
	void *arg;
};

static void *
thread_main(void *arg)
{
	struct start s = *(struct start *) arg;
	free(arg);
	s.run(s.arg);
	return (NULL);
}

void
start_thread(void (*run)(void *), void *arg)
{
	pthread_t     thread;
	struct start *s = malloc(sizeof(*s));

	s->run = run;
	s->arg = arg;
	if (pthread_create(&thread, NULL, thread_main, s) != 0) {
		check(NNG_ENOMEM, "thread");
	}
	pthread_detach(thread);
}
