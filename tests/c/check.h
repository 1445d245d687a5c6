// What the C tests of the shim share: checks, threads that start together, sockets that are connected.
//
// A test is a function without arguments, named after what it proves, and listed in its program's main().
// A check that fails says where and ends the program; so does a test that hangs.

#ifndef NNGIO_CHECK_H
#define NNGIO_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#include <nng/protocol/bus0/bus.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pair1/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/protocol/survey0/respond.h>
#include <nng/protocol/survey0/survey.h>

#define CHECK(what)                                                                                     \
	do {                                                                                            \
		if (!(what)) {                                                                          \
			failed(__FILE__, __LINE__, #what, 0, 0);                                        \
		}                                                                                       \
	} while (0)
#define EQUAL(is, wanted)                                                                               \
	do {                                                                                            \
		long long is_ = (long long) (is), wanted_ = (long long) (wanted);                       \
		if (is_ != wanted_) {                                                                   \
			failed(__FILE__, __LINE__, #is " == " #wanted, is_, wanted_);                   \
		}                                                                                       \
	} while (0)
#define RUN(test) run(#test, test)

// The flags that the Python classes give their sockets.
#define PAIR_FLAGS (NNGIO_TRY_SEND | NNGIO_TRY_RECV)
#define BUS_FLAGS (NNGIO_INLINE_SEND | NNGIO_TRY_RECV)
#define REQ_FLAGS (NNGIO_TRY_SEND | NNGIO_TRY_RECV | NNGIO_SEND_RESTARTS)
#define REP_FLAGS (NNGIO_TRY_RECV | NNGIO_INLINE_SEND | NNGIO_SEND_NEEDS_ONE)
#define SURVEYOR_FLAGS (NNGIO_TRY_SEND | NNGIO_SEND_RESTARTS | NNGIO_SURVEYS)
#define RESPONDENT_FLAGS REP_FLAGS
#define PUB_FLAGS (NNGIO_TRY_SEND | NNGIO_KEEP_SEND)
#define SUB_FLAGS NNGIO_TRY_RECV
#define PUSH_FLAGS NNGIO_TRY_SEND
#define PULL_FLAGS NNGIO_TRY_RECV

void failed(const char *file, int line, const char *what, long long is, long long wanted);
void run(const char *name, void (*test)(void));
int  rounds(int full); // as many as that; fewer under a sanitizer or in a hurry

pthread_t start(void *(*body)(void *), void *argument);
void      join(pthread_t thread);
void      meet(atomic_int *threads, int all); // a barrier that is used once, and spins
void      sleep_us(int us);
unsigned  dice(unsigned *seed, unsigned sides);

typedef int (*opener)(nng_socket *);

nngio_handle *open_socket(opener open, uint32_t flags);
nngio_handle *open_context(nngio_handle *socket, uint32_t flags);
void          close_handle(nngio_handle *h); // and let go of it
const char   *fresh_url(char *buffer);       // of 64 bytes: an inproc address that nobody else has
void          listen_at(nngio_handle *h, const char *url);
void          dial_to(nngio_handle *h, const char *url);
void          connect_both(nngio_handle *listener, nngio_handle *dialer); // until a message could pass

nngio_op *new_op(void);
void      send_number(nngio_op *op, nngio_handle *h, uint32_t number);          // must succeed
int       try_number(nngio_op *op, nngio_handle *h, uint32_t number, int ms);   // result
int       try_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms);            // result
int       get_number(nngio_op *op, nngio_handle *h, uint32_t *number, int ms);  // result
uint32_t  number_of(nngio_op *op);
int       wait_for(nngio_op *op); // nngio_wait, over all its interruptions
bool      settle_soon(nngio_op *op, int ms); // whether it is not busy within that time

#endif
