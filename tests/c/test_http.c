// HTTP's operations and handlers, whatever is given up or closed at whatever moment.

#include <arpa/inet.h>

#include "check.h"

#define ASKERS 3

static nngio_queue       *queue;
static nngio_http_server *server;
static atomic_bool        over;
static atomic_uint        answered;
static char               url[64];

static nngio_http_message *
new_response(void)
{
	int                 error;
	nngio_http_message *m = nngio_http_response(0, &error);

	EQUAL(error, 0);
	EQUAL(nng_http_res_copy_data(m->res, "answer", 6), 0);
	return (m);
}

// What the callback thread does.
static void *
answer_all(void *arg)
{
	unsigned            seed = 1;
	uint64_t            tag;
	size_t              size;
	nngio_op           *none[1];
	nngio_http_message *call;

	while (!atomic_load(&over)) {
		(void) nngio_queue_wait(queue, 20);
		(void) nngio_queue_drain(queue, none, 1);
		while ((call = nngio_http_next(&tag)) != NULL) {
			nngio_http_message *response = new_response();
			char               *text     = nngio_http_text(call, NNGIO_HTTP_HEADERS, NULL);
			int                 error;
			EQUAL(tag, 7);
			free(nngio_http_body(call, &size));
			nngio_http_text_free(text);
			switch (dice(&seed, 8)) {
			case 0: // nobody answers
				break;
			case 1:
				nngio_http_let_go(nngio_http_take_over(call, &error));
				break;
			default:
				if (nngio_http_answer(call, response) == 0) {
					atomic_fetch_add(&answered, 1);
				}
				break;
			}
			nngio_http_message_free(response);
			nngio_http_call_end(call);
		}
	}
	return (arg);
}

static void
add_handler(const char *path, const char *type)
{
	int                 error;
	nngio_http_handler *h = nngio_http_handler_new(path, 7, type, "fixed", 5, &error);

	EQUAL(error, 0);
	EQUAL(nngio_http_server_add(server, h), 0);
	nngio_http_handler_free(h);
}

static void
open_server(void)
{
	nng_sockaddr sa;
	int          error;

	server = nngio_http_server_new("http://127.0.0.1:0", &error);
	EQUAL(error, 0);
	add_handler("/called", NULL);
	add_handler("/fixed", "text/plain");
	EQUAL(nngio_http_server_start(server), 0);
	EQUAL(nngio_http_server_address(server, &sa), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(sa.s_in.sa_port));
}

// Waits for an operation for some time, then gives it up.  Whether it has succeeded.
static bool
some_time(nngio_op *op, int rv, unsigned *seed)
{
	if (rv == NNGIO_PENDING && dice(seed, 4) == 0) {
		sleep_us((int) dice(seed, 300));
		if (nngio_op_busy(op)) {
			nngio_abandon(op, NULL);
			return (false);
		}
	}
	while (rv == NNGIO_PENDING || rv == NNGIO_AGAIN) {
		rv = nngio_stream_wait(op);
	}
	return (rv == 0);
}

static void
ask(nngio_op *op, unsigned *seed)
{
	int                 error;
	nngio_http         *client = nngio_http_client(url, &error), *conn = NULL;
	nngio_http_message *request, *response;

	EQUAL(error, 0);
	if (some_time(op, nngio_http_begin(op, client, NNGIO_HTTP_CONNECT, NULL, NULL, 0, 5000), seed)) {
		conn = nngio_http_given(op);
		http_hold(conn);
	}
	nngio_abandon(op, NULL);
	nngio_http_free(client);
	if (conn == NULL) {
		return;
	}
	request = nngio_http_request(&error);
	EQUAL(nng_http_req_set_uri(request->req, dice(seed, 2) == 0 ? "/called" : "/fixed"), 0);
	EQUAL(nng_http_req_set_header(request->req, "Host", "here"), 0);
	response = nngio_http_response(0, &error);
	if (some_time(op, nngio_http_begin(op, conn, NNGIO_HTTP_WRITE_REQUEST, request, NULL, 0, 5000), seed) &&
	    some_time(op, nngio_http_begin(op, conn, NNGIO_HTTP_READ_RESPONSE, response, NULL, 0, 5000), seed)) {
		EQUAL(nng_http_res_get_status(response->res), 200);
		(void) some_time(op, nngio_http_begin(op, conn, NNGIO_HTTP_READ_ALL, NULL, NULL, 5, 5000), seed);
	}
	nngio_http_message_free(request);
	nngio_http_message_free(response);
	nngio_http_free(conn);
	nngio_abandon(op, NULL);
}

static void *
ask_often(void *arg)
{
	unsigned  seed = (unsigned) (uintptr_t) arg;
	nngio_op *op   = new_op();

	for (int i = 0; i < rounds(2000) && !atomic_load(&over); i++) {
		ask(op, &seed);
	}
	nngio_op_free(op);
	return (arg);
}

static void
begin(pthread_t *threads)
{
	atomic_store(&over, false);
	open_server();
	threads[ASKERS] = start(answer_all, NULL);
	for (uintptr_t i = 0; i < ASKERS; i++) {
		threads[i] = start(ask_often, (void *) (i + 1));
	}
}

static void
requests_may_be_given_up_at_any_moment(void)
{
	pthread_t threads[ASKERS + 1];

	begin(threads);
	for (int i = 0; i < ASKERS; i++) {
		join(threads[i]);
	}
	atomic_store(&over, true);
	join(threads[ASKERS]);
	CHECK(atomic_load(&answered) > 0);
	nngio_http_server_free(server);
}

static void
a_server_may_be_closed_at_any_moment(void)
{
	unsigned seed = 5;

	for (int i = 0; i < rounds(50); i++) {
		pthread_t threads[ASKERS + 1];
		begin(threads);
		sleep_us((int) dice(&seed, 5000));
		EQUAL(nngio_http_server_close(server, true), 0);
		atomic_store(&over, true);
		for (int j = 0; j <= ASKERS; j++) {
			join(threads[j]);
		}
		EQUAL(nngio_http_server_start(server), NNG_ECLOSED);
		nngio_http_server_free(server);
	}
}

static nngio_http *
connect_to_server(nngio_op *op)
{
	int         error;
	nngio_http *client = nngio_http_client(url, &error), *conn;
	int         rv     = nngio_http_begin(op, client, NNGIO_HTTP_CONNECT, NULL, NULL, 0, 5000);

	while (rv == NNGIO_PENDING || rv == NNGIO_AGAIN) {
		rv = nngio_stream_wait(op);
	}
	EQUAL(rv, 0);
	conn = nngio_http_given(op);
	http_hold(conn);
	nngio_abandon(op, NULL); // which leaves the connection open: it was the attempt's
	nngio_http_free(client);
	CHECK(!nngio_http_closed(conn));
	return (conn);
}

static void
write_something(nngio_op *op, nngio_http *conn)
{
	int rv = nngio_http_begin(op, conn, NNGIO_HTTP_WRITE_ALL, NULL, "GET ", 4, 5000);

	while (rv == NNGIO_PENDING || rv == NNGIO_AGAIN) {
		rv = nngio_stream_wait(op);
	}
	EQUAL(rv, 0);
}

static void
give_up_all(nngio_op *op)
{
	nngio_op_give_up(op);
	nngio_abandon(op, NULL);
}

static void
abandon_all(nngio_op *op)
{
	nngio_abandon_all(&op, 1);
}

static void
abort_first(nngio_op *op)
{
	nngio_op_abort(op, NNG_ECANCELED); // too late: that is not the end yet
	CHECK(!nngio_http_closed(op->http));
	nngio_abandon(op, NULL);
}

static void
a_connection_ends_when_nobody_takes_what_an_operation_has_brought(void)
{
	void (*ends[])(nngio_op *) = { give_up_all, abandon_all, abort_first };

	open_server();
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		nngio_op   *op   = new_op();
		nngio_http *conn = connect_to_server(op);
		write_something(op, conn);
		op->kind = NNGIO_NONE; // as who has taken it does
		nngio_abandon(op, NULL);
		CHECK(!nngio_http_closed(conn));
		write_something(op, conn);
		ends[i](op);
		CHECK(nngio_http_closed(conn) && nngio_http_interrupted(conn));
		EQUAL(nngio_http_close(conn), NNG_ECLOSED);
		EQUAL(nngio_http_begin(op, conn, NNGIO_HTTP_READ, NULL, NULL, 10, 5000), NNG_ECLOSED);
		nngio_abandon(op, NULL);
		nngio_op_free(op);
		nngio_http_free(conn);
	}
	for (int interrupted = 0; interrupted < 2; interrupted++) {
		nngio_op   *op   = new_op();
		nngio_http *conn = connect_to_server(op);
		write_something(op, conn);
		op->kind = interrupted ? op->kind : NNGIO_NONE;
		nngio_op_free(op);
		EQUAL(nngio_http_closed(conn), interrupted);
		nngio_http_interrupt(conn);
		CHECK(nngio_http_interrupted(conn));
		nngio_http_free(conn);
	}
	nngio_http_server_free(server);
}

static void *
read_on(void *arg)
{
	nngio_op *op = new_op();
	int       rv = nngio_http_begin(op, arg, NNGIO_HTTP_READ, NULL, NULL, 10, 5000);

	while (rv == NNGIO_PENDING || rv == NNGIO_AGAIN) {
		rv = nngio_stream_wait(op);
	}
	CHECK(rv == NNG_ECLOSED);
	nngio_op_free(op);
	return (NULL);
}

static void
a_connection_may_be_closed_while_threads_read(void)
{
	unsigned seed = 9;

	open_server();
	for (int i = 0; i < rounds(300); i++) {
		nngio_op   *op   = new_op();
		nngio_http *conn = connect_to_server(op);
		pthread_t   readers[2];
		nngio_op_free(op);
		for (int j = 0; j < 2; j++) {
			readers[j] = start(read_on, conn);
		}
		sleep_us((int) dice(&seed, 300));
		EQUAL(nngio_http_close(conn), 0);
		join(readers[0]);
		join(readers[1]);
		nngio_http_free(conn);
	}
	nngio_http_server_free(server);
}

int
main(void)
{
	EQUAL(nngio_init(), 0);
	queue = nngio_queue_new();
	nngio_http_wakes(queue);
	RUN(requests_may_be_given_up_at_any_moment);
	RUN(a_server_may_be_closed_at_any_moment);
	RUN(a_connection_ends_when_nobody_takes_what_an_operation_has_brought);
	RUN(a_connection_may_be_closed_while_threads_read);
	return (0);
}
