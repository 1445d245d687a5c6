// nngio's own C: what stands between Python and NNG.
//
// Theory of operation.  Python never runs on a thread of NNG's, and NNG never sees a Python object.
// Between them stand four things:
//
//   box     owns one message (or none) for a Python Message.
//   handle  a socket or a context: counts the calls inside NNG, so that close never overlaps one, and
//           keeps the messages that a cancelled receive had already been given ("parked").
//   op      one operation: an aio with a C callback, its result, and the message that it owns.
//   queue   where finished operations wait for the one thread that resolves them.
//
// Every function here is called with the GIL released, but for those that don't wait and that python.c calls.
// Codes are NNG's, and the negative ones below.

#ifndef NNGIO_SHIM_H
#define NNGIO_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nng/nng.h>
#include <nng/supplemental/http/http.h>
#include <nng/supplemental/tls/tls.h>

#define NNGIO_AGAIN (-1)  // the wait was interrupted: let Python look at its signals, then wait again
#define NNGIO_FORKED (-2) // the handle belongs to the parent of this process
#define NNGIO_BUSY (-3)   // the operation is still pending
#define NNGIO_PENDING (-4) // NNG has the operation now: wait for it
#define NNGIO_LOOK (-5)    // nothing has begun: let loops that stand still give back messages, then call again
#define NNGIO_OTHER (-6)   // nothing has begun: this is no bytes object

#define NNGIO_BATCH 64           // messages that are sent in one call
#define NNGIO_BATCH_BYTES 131072 // a batch ends with the message that makes it as large as this

// What a protocol allows; set once, when a handle is made.
enum nngio_flags {
	NNGIO_CTX            = 1,  // a context, not a socket
	NNGIO_TRY_SEND       = 2,  // a non-blocking send changes no state when it fails
	NNGIO_TRY_RECV       = 4,  // the same for a receive
	NNGIO_KEEP_SEND      = 8,  // never abort a send: the protocol frees the message and says it failed
	NNGIO_INLINE_SEND    = 16, // a send can be waited for on an aio without a callback, but not tried
	NNGIO_SEND_RESTARTS  = 32, // a send begins anew: replies to the one before are stale
	NNGIO_SEND_NEEDS_ONE = 64, // a send answers the message received last
	NNGIO_RAW            = 128, // a message is sent with the header it has
	NNGIO_SURVEYS        = 256, // a receive ends with the survey, and aborting one ends the survey
	NNGIO_NUMBERED       = 512, // raw: what is sent has a request's number before it
	NNGIO_ADDRESSED      = 1024, // raw: the header of what is sent begins with a pipe
};

typedef struct nngio_box    nngio_box;
typedef struct nngio_device nngio_device;
typedef struct nngio_handle nngio_handle;
typedef struct nngio_http   nngio_http;
typedef struct nngio_op     nngio_op;
typedef struct nngio_queue  nngio_queue;
typedef struct nngio_stream nngio_stream;

struct nngio_box {
	nng_msg *msg; // NULL while NNG has it, and after it was sent
	uint32_t refs; // Python's, and one of the operation that is to give the message back
	uint32_t views; // of the body
};

enum nngio_kind {
	NNGIO_NONE  = 0,
	NNGIO_SEND  = 1,
	NNGIO_RECV  = 2,
	NNGIO_SLEEP = 3,
	NNGIO_STREAM = 4, // see stream.c
	NNGIO_FLOW  = 5, // not a call's, but a stream's own
	NNGIO_DIAL  = 6,
	NNGIO_CLOSE = 7,
	NNGIO_WATCH = 8,
	NNGIO_JOIN  = 9, // wait for the end of a device
	NNGIO_HTTP  = 10, // see http.c
};

// A pipe, as it was when it was made.  Read from Python.
typedef struct nngio_peer {
	uint32_t     id, dialer, listener; // one of the latter is 0
	nng_sockaddr local, remote;
	uint64_t     uid, gid, pid;
	bool         has_uid, has_gid, has_pid;
	bool         tls, verified;
	char        *subject; // or NULL
	char       **names;   // alternative names of the subject, the last NULL; or NULL
	char        *url;     // or NULL
} nngio_peer;

typedef struct nngio_watch     nngio_watch;
typedef struct nngio_admission nngio_admission;

// A pipe was connected, or is not any more.
typedef struct nngio_event nngio_event;
struct nngio_event {
	nngio_peer  *peer; // held
	bool         connected;
	nngio_watch *watch;
	nngio_event *next, *prev; // in the watch's list, or in the pipe's
	nngio_event *mate;        // of the same pipe and watch, while both are with them
};

enum nngio_rule {
	NNGIO_RULE_IPV4    = 4,
	NNGIO_RULE_IPV6    = 6,
	NNGIO_RULE_UID     = 1,
	NNGIO_RULE_GID     = 2,
	NNGIO_RULE_PID     = 3,
	NNGIO_RULE_SUBJECT = 5,
};

// One record of NNG's log.
typedef struct {
	int    level, facility;
	double seconds; // since the epoch
	char   id[64];
	char   text[512]; // NNG's own limit
} nngio_log_record;

// See http_message.c and http_server.c.
typedef struct nngio_http_handler nngio_http_handler;
typedef struct nngio_http_message nngio_http_message;
typedef struct nngio_http_server  nngio_http_server;

struct nngio_http_message {
	nng_http_req *req; // one of both; or neither, when it was sent
	nng_http_res *res;

	atomic_uint         refs;
	nngio_http_server  *server; // of a call of a handler's: held; the rest is of such a call, under the server's lock
	uint64_t            tag;
	nng_aio            *aio; // NULL when it was answered
	nng_http_req       *lent; // by NNG, until then
	nng_http_conn      *conn; // the same
	nngio_http_message *call_next, **call_link; // of those of the server that were not answered
	nngio_http_message *waiting_next;           // for Python
};

enum nngio_http_what {
	NNGIO_HTTP_CONNECT,
	NNGIO_HTTP_READ,
	NNGIO_HTTP_READ_ALL,
	NNGIO_HTTP_WRITE,
	NNGIO_HTTP_WRITE_ALL,
	NNGIO_HTTP_READ_REQUEST,
	NNGIO_HTTP_READ_RESPONSE,
	NNGIO_HTTP_WRITE_REQUEST,
	NNGIO_HTTP_WRITE_RESPONSE,
};

enum nngio_http_text {
	NNGIO_HTTP_METHOD,
	NNGIO_HTTP_URI,
	NNGIO_HTTP_VERSION,
	NNGIO_HTTP_REASON,
	NNGIO_HTTP_HEADER,  // the value of one
	NNGIO_HTTP_HEADERS, // all, as they are sent
};

// See udp.c.
typedef struct nngio_udp nngio_udp;

typedef struct nngio_datagram {
	struct nngio_datagram *next;
	nng_sockaddr           from;
	size_t                 len;
	char                   data[];
} nngio_datagram;

// lifecycle.c
int  nngio_init(void);
int  nngio_init_set_parameter(int parameter, uint64_t value);
bool nngio_started(void);
bool nngio_forked(void);
void nngio_end(void);

// spin.c
void    nngio_spin_set(int64_t ns);
int64_t nngio_spin_get(void);

// message.c
nngio_box *nngio_box_new(void);
int        nngio_box_fill(nngio_box *box, const void *data, size_t len);
int        nngio_box_alloc(nngio_box *box, size_t len);
int        nngio_box_copy(nngio_box *to, const nngio_box *from);
void       nngio_box_free(nngio_box *box);
void      *nngio_box_view(nngio_box *box, size_t *size);
void       nngio_box_unview(nngio_box *box);
void       nngio_handle_set_hops(nngio_handle *h, int hops);

// handle.c
nngio_handle *nngio_socket_open(int (*open)(nng_socket *), uint32_t flags, int *error);
nngio_handle *nngio_context_open(nngio_handle *socket, uint32_t flags, int *error);
int           nngio_handle_close(nngio_handle *h);
bool          nngio_handle_closed(nngio_handle *h);
void          nngio_handle_free(nngio_handle *h);
uint32_t      nngio_handle_id(nngio_handle *h);
uint32_t      nngio_handle_parked(nngio_handle *h);
uint32_t      nngio_handle_on_loops(nngio_handle *h);
int nngio_ctx_get(nngio_handle *h, const char *name, void *value, size_t *size);
int nngio_ctx_set(nngio_handle *h, const char *name, const void *value, size_t size);

// operation.c
nngio_op *nngio_op_new(int slice_ms);
void      nngio_op_free(nngio_op *op);
void      nngio_op_take(nngio_op *op, nngio_box *box);
void      nngio_op_drop(nngio_op *op);
nngio_handle *nngio_op_waits_on(nngio_op *op);

// begin.c: try at once, else leave it to NNG; NNGIO_PENDING then
int nngio_begin_send(nngio_op *op, nngio_handle *h, const void *data, size_t len, int ms);
int nngio_begin_send_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms);
int nngio_begin_recv(nngio_op *op, nngio_handle *h, int ms);

// job.c: calls that block, on threads of their own
int nngio_begin_dial(nngio_op *op, nngio_handle *h, uint32_t dialer);
int nngio_begin_close(nngio_op *op, nngio_handle *h);
int nngio_begin_dialer_close(nngio_op *op, nngio_handle *h, uint32_t dialer);
int nngio_begin_listener_close(nngio_op *op, nngio_handle *h, uint32_t listener);
int nngio_dialer_close(nngio_handle *h, uint32_t dialer);
int nngio_listener_close(nngio_handle *h, uint32_t listener);

// wait.c: the same, and wait for the outcome; the end of operations that nobody waits for any more
int  nngio_send(nngio_op *op, nngio_handle *h, const void *data, size_t len, int ms);
int  nngio_send_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms);
int  nngio_recv(nngio_op *op, nngio_handle *h, int ms);
int  nngio_wait(nngio_op *op);
int  nngio_cancel(nngio_op *op);
void nngio_abandon(nngio_op *op, nngio_box *box);
void nngio_abandon_all(nngio_op **ops, int n);
void nngio_lend(nngio_queue *q, nngio_op **ops, int n);

// batch.c: many messages in one call; the first as above
int  nngio_begin_send_many(nngio_op *op, nngio_handle *h, const void **data, const size_t *len, int n, int ms);
int  nngio_begin_recv_many(nngio_op *op, nngio_handle *h, int max, int ms);
int  nngio_recv_many(nngio_op *op, nngio_handle *h, int max, int ms);
void nngio_recv_more(nngio_op *op, int max);
int  nngio_batch_count(nngio_op *op);
void nngio_batch_list(nngio_op *op, nng_msg **msgs);
void nngio_batch_take(nngio_op *op, nngio_box **boxes);
void nngio_batch_return(nngio_op *op, nngio_box **boxes);

// prefetch.c
int nngio_prefetch(nngio_handle *h, int max);

// device.c
nngio_device *nngio_device_new(void);
int           nngio_device_start(nngio_device *d, nngio_handle *a, nngio_handle *b, bool forth, bool back);
int           nngio_device_result(nngio_device *d);
void          nngio_device_stop(nngio_device *d);
uint64_t      nngio_device_forwarded(nngio_device *d, nngio_handle *from);
void          nngio_device_free(nngio_device *d);
int           nngio_begin_join(nngio_op *op, nngio_device *d);

// stream.c: byte streams; nngio_stream_wait for what is NNGIO_PENDING, or the queue
nngio_stream *nngio_stream_dialer(const char *url, int *error);
nngio_stream *nngio_stream_listener(const char *url, int *error);
int           nngio_stream_listen(nngio_stream *s);
int           nngio_stream_begin_recv(nngio_op *op, nngio_stream *s, size_t least, size_t most, int ms);
int           nngio_stream_begin_send(nngio_op *op, nngio_stream *s, const void *data, size_t len, bool all, int ms);
int           nngio_stream_wait(nngio_op *op);
nngio_stream *nngio_stream_given(nngio_op *op);
int           nngio_stream_get(nngio_stream *s, const char *name, void *value, size_t *size);
int           nngio_stream_get_string(nngio_stream *s, const char *name, char **value);
int           nngio_stream_set(nngio_stream *s, const char *name, const void *value, size_t size);
int           nngio_stream_close(nngio_stream *s);
bool          nngio_stream_closed(nngio_stream *s);
bool          nngio_stream_heard(nngio_stream *s);
void          nngio_stream_free(nngio_stream *s);

// http.c: nngio_stream_wait for what is NNGIO_PENDING, or the queue
nngio_http *nngio_http_client(const char *url, int *error);
int         nngio_http_begin(
            nngio_op *op, nngio_http *h, int what, nngio_http_message *m, const void *data, size_t size, int ms);
nngio_http *nngio_http_given(nngio_op *op);
int         nngio_http_set_tls(nngio_http *h, nng_tls_config *config);
int         nngio_http_close(nngio_http *h);
void        nngio_http_interrupt(nngio_http *h);
bool        nngio_http_interrupted(nngio_http *h);
bool        nngio_http_closed(nngio_http *h);
void        nngio_http_free(nngio_http *h);
void        nngio_http_let_go(nngio_http *h);

// http_message.c
nngio_http_message *nngio_http_request(int *error);
nngio_http_message *nngio_http_response(uint16_t status, int *error);
char               *nngio_http_text(nngio_http_message *m, int which, const char *name);
void               *nngio_http_body(nngio_http_message *m, size_t *size);
void                nngio_http_text_free(void *text);
void                nngio_http_message_free(nngio_http_message *m);

// http_server.c
void                nngio_http_wakes(nngio_queue *q);
nngio_http_message *nngio_http_next(uint64_t *tag);
bool                nngio_http_answered(nngio_http_message *m);
int                 nngio_http_answer(nngio_http_message *m, nngio_http_message *response);
nngio_http         *nngio_http_take_over(nngio_http_message *m, int *error);
void                nngio_http_call_end(nngio_http_message *m);

nngio_http_handler *nngio_http_handler_new(
    const char *path, uint64_t tag, const char *type, const void *data, size_t size, int *error);
nngio_http_handler *nngio_http_handler_own(const char *path, const char *target, uint16_t status, int *error);
nng_http_handler   *nngio_http_handler_c(nngio_http_handler *h);
void                nngio_http_handler_free(nngio_http_handler *h);

nngio_http_server *nngio_http_server_new(const char *url, int *error);
int                nngio_http_server_start(nngio_http_server *s);
int                nngio_http_server_address(nngio_http_server *s, nng_sockaddr *sa);
int                nngio_http_server_tls(nngio_http_server *s, nng_tls_config *config);
int                nngio_http_server_page(nngio_http_server *s, uint16_t status, const char *text, const char *path);
int                nngio_http_server_error(nngio_http_server *s, nngio_http_message *response);
int                nngio_http_server_add(nngio_http_server *s, nngio_http_handler *h);
int                nngio_http_server_remove(nngio_http_server *s, nngio_http_handler *h, bool held);
int                nngio_http_server_close(nngio_http_server *s, bool held);
void               nngio_http_server_free(nngio_http_server *s);

// left.c
void nngio_leave(nngio_op *op, nngio_box *box);

// pipes.c: who is connected, and who is told
nngio_peer  *nngio_peer_of(uint32_t id);
void         nngio_peer_free(nngio_peer *p);
unsigned     nngio_pipes(nngio_handle *h, uint32_t *ids, unsigned max);
int          nngio_admission_set(nngio_handle *h, nngio_admission *a);
int          nngio_begin_peers(nngio_op *op, nngio_handle *h, unsigned peers);
int          nngio_begin_events(nngio_op *op, nngio_watch *w);
int          nngio_ring_events(nngio_op *op, nngio_watch *w);
nngio_watch *nngio_watch_new(nngio_handle *h, unsigned limit);
void         nngio_watch_close(nngio_watch *w);
void         nngio_watch_free(nngio_watch *w);
void         nngio_watch_take(nngio_watch *w, nngio_event **event);
void         nngio_watch_return(nngio_watch *w, nngio_event **event);
void         nngio_event_free(nngio_event **event);
bool         nngio_watch_ended(nngio_watch *w);
uint64_t     nngio_watch_skipped(nngio_watch *w);

// admission.c: who may connect
nngio_admission *nngio_admission_new(int count, bool allows, int64_t most);
void nngio_admission_set_network(nngio_admission *a, int i, bool denies, int kind, const uint8_t *address, unsigned bits);
void nngio_admission_set_number(nngio_admission *a, int i, bool denies, int kind, uint64_t number);
int  nngio_admission_set_subject(nngio_admission *a, int i, bool denies, const char *subject);
void nngio_admission_free(nngio_admission *a);
void nngio_admission_counters(nngio_admission *a, uint64_t totals[3], uint64_t *refused);

// submit.c: operations that finish on a queue, or by nngio_wait alone
int  nngio_op_attach(nngio_op *op, nngio_queue *queue, uint64_t tag);
int  nngio_submit_send(nngio_op *op, nngio_handle *h, nngio_box *box, int ms);
int  nngio_submit_recv(nngio_op *op, nngio_handle *h, int ms);
int  nngio_submit_sleep(nngio_op *op, int sleep_ms, int ms);
int  nngio_op_abort(nngio_op *op, int code);
void nngio_op_give_up(nngio_op *op);
void nngio_op_settle(nngio_op *op);
bool nngio_op_busy(nngio_op *op);
bool nngio_op_receives_on(nngio_op *op, nngio_handle *h);
uint64_t nngio_op_tag(nngio_op *op);

// log.c
int  nngio_log_start(void);
void nngio_log_wakes(nngio_queue *q);
bool nngio_log_take(nngio_log_record *record, uint64_t *lost);

// queue.c
nngio_queue *nngio_queue_new(void);
void         nngio_queue_free(nngio_queue *q);
int          nngio_queue_fd(nngio_queue *q);
int          nngio_queue_drain(nngio_queue *q, nngio_op **ops, int max);
int          nngio_queue_settle(nngio_queue *q, uint32_t *tags, int max);
void         nngio_queue_put_back(nngio_queue *q, nngio_op **ops, int n);
bool         nngio_queue_attend(nngio_queue *q);
bool         nngio_queue_attends(nngio_queue *q);
void         nngio_queue_mind(nngio_queue *q);
void         nngio_queue_leave(nngio_queue *q);
bool         nngio_queue_finds(nngio_queue *q);
int          nngio_queue_wait(nngio_queue *q, int ms);
void         nngio_queue_wake(nngio_queue *q);

// tls.c
nng_tls_config *nngio_tls_config_new(nng_tls_mode mode, int *error);
void            nngio_tls_config_free(nng_tls_config *config);

// udp.c
uint32_t nngio_udp_open(const nng_sockaddr *address, uint32_t most, int *error);
int nngio_udp_close(uint32_t id);
int nngio_udp_recv(uint32_t id, nngio_op *op, int ms);
int nngio_udp_send(uint32_t id, const void *data, size_t len, const nng_sockaddr *to, uint64_t *ticket);
int nngio_udp_sent(uint32_t id, nngio_op *op, uint64_t ticket, int ms);
void nngio_udp_forget(nngio_op *op);
int nngio_udp_address(uint32_t id, nng_sockaddr *sa);
int nngio_udp_member(uint32_t id, const nng_sockaddr *group, bool join);

#endif
