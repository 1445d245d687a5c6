// See check.h.

#include <sched.h>
#include <signal.h>
#include <time.h>

#include "check.h"

static const char *running = "(no test)";
static int         ran;

void
failed(const char *file, int line, const char *what, long long is, long long wanted)
{
	fprintf(stderr, "%s: %s:%d: not so: %s", running, file, line, what);
	if (is != wanted) {
		fprintf(stderr, " (%lld, not %lld)", is, wanted);
	}
	fprintf(stderr, "\n");
	abort();
}

static void
hung(int signal)
{
	static const char text[] = " hangs\n";
	(void) signal;
	(void) !write(2, running, strlen(running));
	(void) !write(2, text, sizeof(text) - 1);
	abort();
}

void
run(const char *name, void (*test)(void))
{
	const char     *only = getenv("NNGIO_C_TEST");
	const char     *limit = getenv("NNGIO_C_SECONDS");
	struct timespec begin, end;

	if (only != NULL && strcmp(only, name) != 0) {
		return;
	}
	running = name;
	signal(SIGALRM, hung);
	alarm(limit != NULL ? (unsigned) atoi(limit) : 120);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	test();
	clock_gettime(CLOCK_MONOTONIC, &end);
	alarm(0);
	printf("%-60s %6.2f s\n", name,
	    (double) (end.tv_sec - begin.tv_sec) + (double) (end.tv_nsec - begin.tv_nsec) / 1e9);
	fflush(stdout);
	ran++;
}

int
rounds(int full)
{
	const char *percent = getenv("NNGIO_C_PERCENT");
	int         n       = percent != NULL ? (int) ((long) full * atoi(percent) / 100) : full;
	return (n < 5 ? 5 : n);
}

pthread_t
start(void *(*body)(void *), void *argument)
{
	pthread_t thread;
	EQUAL(pthread_create(&thread, NULL, body, argument), 0);
	return (thread);
}

void
join(pthread_t thread)
{
	EQUAL(pthread_join(thread, NULL), 0);
}

void
meet(atomic_int *threads, int all)
{
	int turns = 0;
	atomic_fetch_add(threads, 1);
	while (atomic_load(threads) < all) {
		if (++turns > 200) {
			sched_yield();
		}
	}
}

void
sleep_us(int us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = (long) (us % 1000000) * 1000 };
	nanosleep(&ts, NULL);
}

unsigned
dice(unsigned *seed, unsigned sides)
{
	*seed = *seed * 1664525u + 1013904223u;
	return ((*seed >> 8) % sides);
}

nngio_handle *
open_socket(opener open, uint32_t flags)
{
	int           error;
	nngio_handle *h = nngio_socket_open(open, flags, &error);
	EQUAL(error, 0);
	return (h);
}

nngio_handle *
open_context(nngio_handle *socket, uint32_t flags)
{
	int           error;
	nngio_handle *h = nngio_context_open(socket, flags, &error);
	EQUAL(error, 0);
	return (h);
}

void
close_handle(nngio_handle *h)
{
	nngio_handle_close(h);
	nngio_handle_free(h);
}

const char *
fresh_url(char *buffer)
{
	static atomic_int last;
	snprintf(buffer, 64, "inproc://c-%d", atomic_fetch_add(&last, 1));
	return (buffer);
}

void
listen_at(nngio_handle *h, const char *url)
{
	nng_socket s = { .id = nngio_handle_id(h) };
	EQUAL(nng_listen(s, url, NULL, 0), 0);
}

void
dial_to(nngio_handle *h, const char *url)
{
	nng_socket s = { .id = nngio_handle_id(h) };
	EQUAL(nng_dial(s, url, NULL, 0), 0);
}

void
connect_both(nngio_handle *listener, nngio_handle *dialer)
{
	char url[64];
	listen_at(listener, fresh_url(url));
	dial_to(dialer, url);
}

nngio_op *
new_op(void)
{
	nngio_op *op = nngio_op_new(20);
	CHECK(op != NULL);
	return (op);
}

int
wait_for(nngio_op *op)
{
	int rv;
	while ((rv = nngio_wait(op)) == NNGIO_AGAIN) {
	}
	return (rv);
}

int
try_number(nngio_op *op, nngio_handle *h, uint32_t number, int ms)
{
	int rv = nngio_send(op, h, &number, sizeof(number), ms);
	return (rv == NNGIO_AGAIN ? wait_for(op) : rv);
}

int
try_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms)
{
	int rv = nngio_send_box(op, h, box, ms);
	return (rv == NNGIO_AGAIN ? wait_for(op) : rv);
}

void
send_number(nngio_op *op, nngio_handle *h, uint32_t number)
{
	EQUAL(try_number(op, h, number, 5000), 0);
}

uint32_t
number_of(nngio_op *op)
{
	uint32_t number;
	EQUAL(op->len, sizeof(number));
	memcpy(&number, op->body, sizeof(number));
	return (number);
}

int
get_number(nngio_op *op, nngio_handle *h, uint32_t *number, int ms)
{
	int rv = nngio_recv(op, h, ms);
	if (rv == NNGIO_AGAIN) {
		rv = wait_for(op);
	}
	if (rv == 0) {
		*number = number_of(op);
	}
	op->kind = NNGIO_NONE;
	return (rv);
}

bool
settle_soon(nngio_op *op, int ms)
{
	for (int i = 0; i < ms * 10; i++) {
		if (!nngio_op_busy(op)) {
			return (true);
		}
		sleep_us(100);
	}
	return (false);
}
