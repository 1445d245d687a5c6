// The C side of the benchmarks: what NNG itself does on this machine, without Python.
//
// Each scenario is a function of a `job` that runs it and prints one line of JSON, with the same names as
// benchmarks/worker.py.  It is plain, idiomatic C on NNG's public API: a message is allocated, filled and
// sent; received, and freed.

#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nng/nng.h>

typedef struct {
	const char *url;
	const char *tls; // folder with cert.pem and key.pem; "" without TLS
	size_t      size;
	int         count; // contexts, subscribers, pending operations
	double      seconds;
	bool        processes; // the other side is another process, not a thread
	char       *payload;
} job;

// meter.c: how often to repeat a phase, and how long it took.
typedef struct {
	double    seconds; // what the measured phase is to last
	uint64_t  step;    // counts are multiples of it
	uint64_t  count;   // of the phase that runs
	int       phase;
	double    started, elapsed;
	double    cpu_started, cpu;
	uint64_t *times; // of the phase's operations in ns, where each is timed
	uint64_t  times_size;
} meter;

bool     meter_next(meter *m);
void     meter_start(meter *m);
void     meter_stop(meter *m);
uint64_t meter_clock(void);
void     meter_print_times(meter *m);
void     meter_print_rate(meter *m, uint64_t each); // `each`: messages for one count

// sockets.c
enum kind { REQ, REP, PUSH, PULL, PAIR, PUB, SUB };
nng_socket open_socket(enum kind kind, int buffer);
void       do_listen(nng_socket s, const job *j);
void       do_dial(nng_socket s, const job *j);
void       check(int rv, const char *what);
nng_msg   *new_message(const job *j);
void       fork_peer(const job *j, void (*peer)(const job *)); // does nothing without j->processes
void       sleep_ms(int ms);
void       start_thread(void (*run)(void *), void *arg);

// The scenarios.
void roundtrip(job *j);
void oneway(job *j, enum kind from, enum kind to, int buffer);
void send_for_ever(const job *j, enum kind kind, int buffer);
void contexts(job *j);
void pubsub(job *j);
void pending(job *j);

#endif
