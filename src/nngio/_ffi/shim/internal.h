// Shared by the shim's own files; nothing here is seen from Python.

#ifndef NNGIO_INTERNAL_H
#define NNGIO_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "nngio_shim.h"

enum op_state {
	OP_IDLE    = 0, // nobody waits, nothing is pending
	OP_PENDING = 1, // NNG has the aio
	OP_WAITED  = 2, // the same, and a thread sleeps on `state`
	OP_DONE    = 3, // the result stands
	OP_ORPHAN  = 4, // pending, and its owner is gone: the callback returns it to the pool
	OP_QUEUED  = 5, // the result stands, and the operation is on its queue
	OP_CLAIMED = 6, // being submitted: nobody but the submitter may look at it
};

// Who sees to what a receive is given.
enum op_custody {
	CUSTODY_OWNER    = 0, // its owner: it is over, or has not begun
	CUSTODY_NNG      = 1, // its callback will, and then its owner
	CUSTODY_GIVEN_UP = 2, // its callback alone, though it be over: the owner does not want it
};

// Aborts a sleep with what the owner sees as NNG_ETIMEDOUT.
#define NNGIO_SLEEP_ABORTED (-1)

// A message that a receive was given after its caller had gone.
typedef struct parked {
	nng_msg       *msg;
	uint32_t       turn; // of that receive
	struct parked *next;
} parked;

// An aio that is not used again: see pending.c.
typedef struct retired {
	nng_aio        *aio;
	struct retired *next;
} retired;

// See prefetch.c.
typedef struct reader reader;

// See device.c.
typedef struct path path;
// See http.c.
typedef struct http_task http_task;
// See stream.c.
typedef struct piece piece;

// See spin.c.
typedef struct {
	atomic_int       credit;
	_Atomic uint64_t sleeps; // waits begin without until then, ns
} spin_luck;

typedef struct {
	spin_luck *luck;
	uint64_t   until; // ns
	unsigned   looks;
	bool       yields; // its core, now and then
	bool       polls;  // looks at NNG's connections too
} spinner;

struct nngio_handle {
	atomic_uint     refs;
	uint32_t        id;
	uint32_t        flags;
	nngio_handle   *parent;
	nngio_handle   *sibling;  // in the parent's list of contexts, under the parent's lock
	nngio_handle   *open_next, *open_prev; // of a socket: in the list of those that are open
	nngio_handle   *contexts; // of a socket, under the lock
	spin_luck       luck;     // of threads that wait
	atomic_uint     inside;   // threads between enter and leave
	atomic_int      closed;   // 0 open, 1 closing, 2 closed
	atomic_bool     far;      // of a socket: see message_make_room
	atomic_uint     parked_count;
	_Atomic uint64_t on_loops; // sum of the stamps of the queues that receives are to finish on
	atomic_uint     sending;  // sends that NNG has, where only one may be, or no receive beside one
	atomic_uint     giving_up; // receives that were given up, and have not ended yet
	atomic_uint     turn;     // numbers the receives, and the sends that make replies stale
	pthread_mutex_t gate;     // held while a send or receive begins, where no receive may be beside a send
	pthread_mutex_t lock;     // of the fields below and of the lists' links
	uint32_t        stale;    // what was received in an earlier turn is not wanted any more
	parked         *parked_first, *parked_last;
	nngio_op       *pending_first, *pending_last; // operations that NNG has
	nngio_op       *dialing;                      // operations in nng_dialer_start
	struct pipes   *pipes;                        // of a socket: see pipes.c
	_Atomic(nngio_op *) left;                     // the receive that was interrupted: see left.c
	nngio_op       *follower;                     // the one that waits behind it
	reader         *reader;                       // set before the first receive, or NULL
	nngio_device   *device;                       // that it is in
	retired        *retired_first, *retired_last;
	unsigned        retired_count;
};

struct nngio_op {
	// Read from Python, by the thread that owns the operation, when it is done.
	int    result;
	int    kind; // Python sets NNGIO_NONE once it has what it wanted
	char  *body;
	size_t len;
	int    count; // of a batch: its messages, or those that were sent
	size_t bytes; // of all their bodies
	nngio_datagram *datagram; // the operation's
	bool   taken; // Python sets it once it has a copy

	atomic_uint   state;
	atomic_int    custody;
	int           slice_ms; // the longest wait at a time; -1 for no end
	nng_msg      *msg;      // owned by the operation
	nngio_box    *box;      // where the message goes instead, when Python gave one
	nngio_handle *handle;
	nng_aio      *aio;       // its callback is op_callback
	nng_aio      *inline_aio; // no callback: finishes on the thread that completes it
	parked       *spare;     // so that parking never needs memory
	parked       *batch_first, *batch_last; // received, and not handed over yet
	bool          inlined;   // the pending send is on inline_aio
	bool          on_loop;   // counted in the handle's on_loops
	bool          moving;    // see queue_put_last
	bool          looked;    // its caller has been told to look for messages with loops
	bool          dropped;   // on its queue, and its owner is gone
	bool          counted;   // in the handle's `sending`
	bool          left;      // its caller was interrupted, and it goes on: see left.c; under the lock
	bool          waits;     // for what the handle's reader brings: see prefetch.c
	bool          sleeps;    // until then, because its time may be up before
	nngio_op     *leader;    // of a receive that has ended: the one it waited behind, if that has not
	bool          redeliver; // a receive aborted so that it picks up a parked message; under the lock
	int           aborted;   // the code that the owner asked for, or 0; under the lock if listed
	int           ms;        // the timeout as submitted
	int           slept;     // the result of a sleep that goes on to its end
	nng_time      begun;     // when it was submitted, if that has an end; when a dial began
	uint32_t      turn;      // of a receive, or of the one that its message was parked by
	uint32_t      place;     // of a receive, among those of its handle: its turn when it began
	uint32_t      dialer, listener; // that is dialed or closed
	nngio_watch  *watch;     // whose events it waits for, or NULL: see pipes.c
	unsigned      peers;     // that it waits for, then
	bool          watching;  // it waits; under the lock of the socket's pipes
	path         *path;      // of a device, which goes on when the operation has finished
	nngio_device *device;    // that it waits for, or has waited for
	unsigned      threads;   // that a dial or close still has: see job.c; under the lock
	uint8_t       header[64]; // of the message to be sent: protocols clear it before they fail
	size_t        header_len;

	nngio_queue *queue;
	uint64_t     tag;
	nngio_op    *next;                       // in the queue, or in the pool
	nngio_op    *pending_next, *pending_prev; // in the handle's list
	nngio_op    *patience_next, *patience_prev; // see patience.c, under its lock
	bool         patient;

	nngio_udp *udp; // that it waits on, or has a datagram of: see udp.c
	nngio_op  *udp_next;
	bool       udp_waits; // it is in the list there; under that one's lock
	nngio_stream *stream;      // of an operation that is begun in stream.c, which see
	piece        *piece;       // what it was given; or what it sends, under the stream's lock
	void         *flow;        // that its aio is of
	size_t        least, most; // bytes
	bool          streaming;   // it waits for its flow; under the stream's lock
	nngio_http   *http; // of an operation that is begun in http.c, which see
	http_task    *task; // that it waits for, or that it was given

	_Atomic(nngio_handle *) listed; // in whose list of pending operations; changed under that one's lock
};

// An attempt to connect, or a connection: see http.c.
struct nngio_http {
	atomic_uint      refs; // Python's, and one per operation and task
	pthread_mutex_t  lock; // of the fields below
	pthread_cond_t   idle; // no task is left
	nng_http_client *client;
	nng_http_conn   *conn;
	nngio_http      *late; // the connection that came when nobody wanted it any more
	http_task       *tasks;
	bool             closed;
	bool             broken;      // NNG has closed the connection, or is about to; or nobody knows what would come next
	bool             interrupted; // by a call that was, and by nothing else before
};

struct nngio_http_server {
	atomic_uint         refs;
	pthread_mutex_t     calls; // held during calls of Python's into NNG
	nng_http_server    *c;
	nngio_http_handler *handlers;
	atomic_bool         started;
	pthread_mutex_t     lock; // of the fields below, and of its messages; NNG is told the end of a call under it
	nngio_http_message *unanswered;
	bool                closed;
};

// lifecycle.c
extern atomic_int nngio_is_forked;
void              stay_if_ending(void);
int               usable_cores(void);
void              block_signals(void *old);
void              restore_signals(const void *old);

// handle.c
int  handle_enter(nngio_handle *h);
bool handle_try_enter(nngio_handle *h);
void handle_leave(nngio_handle *h);
void handle_hold(nngio_handle *h);
void handle_rele(nngio_handle *h);
void pause_briefly(int turn);
void handles_close(void);

// parked.c
void handle_park(nngio_handle *h, parked *node);
void op_park(nngio_op *op);
bool handle_unpark(nngio_handle *h, nngio_op *op);
void handle_unpark_all(nngio_handle *h);
void handle_settle(nngio_handle *h);
void handle_restarts(nngio_handle *h);
bool handle_restarted(nngio_handle *h, nngio_op *op);
nng_msg *handle_delivered(nngio_handle *h, nngio_op *op, nng_msg *msg);
void wake_receiver(nngio_handle *h);
parked *parked_take_first(nngio_handle *h);
void parked_insert(nngio_handle *h, parked *node);
void parked_free(nngio_handle *h, parked *node);

// prefetch.c
bool reader_reuse(nngio_handle *h, parked *node);
void reader_deliver(nngio_handle *h);
void reader_abort(nngio_op *op, int code);
void reader_go_on(nngio_handle *h);
void reader_wait(nngio_op *op, int ms);
void finish_wait(nngio_op *op);
void reader_end(nngio_handle *h);
void reader_free(nngio_handle *h);

// pending.c
void pending_add(nngio_op *op);
void pending_link(nngio_op *op);
void pending_unlink(nngio_op *op);
bool pending_remove(nngio_op *op, nng_aio **aio, nng_msg **delivered, int *aborted);
void pending_look_again(nngio_handle *h, nngio_op *op);
void pending_end(nngio_handle *h);
int  time_left(nngio_op *op);
int  explicit_ms(nngio_op *op, int ms);
void retire_if_late(nngio_op *op, nng_aio **aio);
void retired_free(nngio_handle *h);
void retired_leave(nngio_handle *h);

// left.c
void op_sleep(nngio_op *op);
bool left_follow(nngio_op *op, nngio_handle *h, int ms);
void left_give_up(nngio_handle *h, nngio_op *leader, int result);
void left_forget(nngio_handle *h, int result);
void left_ends(nngio_op *op, int result);

// job.c
void dials_begin(nngio_handle *h, uint32_t dialer);
void dial_abort(nngio_op *op, int code);

// pipes.c
int  pipes_open(nngio_handle *h);
void pipes_end(nngio_handle *h);
void pipes_free(nngio_handle *h);
void pipes_abort(nngio_op *op, int code);

// device.c
void device_closes(nngio_handle *h);
void path_continues(nngio_op *op);
void join_abort(nngio_op *op, int code);
void join_forget(nngio_op *op);

// patience.c
bool patience_add(nngio_op *op);
bool patience_remove(nngio_op *op);

// stream.c
void stream_callback(nngio_op *io);
void stream_abort(nngio_op *op, int code);
void stream_put_back(nngio_op *op);
void stream_drop(nngio_op *op);

// stream_life.c
void stream_hold(nngio_stream *s);
void stream_rele(nngio_stream *s);
void streams_close(void);

// http.c
nngio_http *http_new(void); // or NULL
int  http_parse_url(const char *text, nng_url **url, int *error); // returns and sets the error
void http_hold(nngio_http *h);
void http_rele(nngio_http *h);
void http_abort(nngio_op *op, int code);
void http_give_up(nngio_op *op);
void http_abandon(nngio_op *op);
void http_drop(nngio_op *op);

// http_message.c
nngio_http_message *http_message_new(void); // or NULL
void http_message_hold(nngio_http_message *m);
void http_message_lock(nngio_http_message *m); // what a server has lent
void http_message_unlock(nngio_http_message *m);

// http_server.c
void http_server_rele(nngio_http_server *s);

// batch.c
void batch_park(nngio_op *op);
void batch_drop(nngio_op *op);

// operation.c
int  op_begin(nngio_op *op, nngio_handle *h, int kind);
void op_ready(nngio_op *op, int kind, int ms);
void op_callback(void *arg);
void op_prompt(nng_aio *aio, bool prompt);
void op_start(nngio_op *op, nng_aio *aio, int ms, nng_msg *msg);
void op_send(nngio_op *op, int ms, nng_msg *msg);
int  op_receive(nngio_op *op, int ms);
void op_complete(nngio_op *op, int result);
void recv_complete(nngio_op *op, int result);
void op_recycle(nngio_op *op);
void op_keep(nngio_op *op, nng_msg *msg);
void op_set_header(nngio_op *op, nngio_handle *h, nng_msg *msg);
void op_sent(nngio_op *op, nng_msg *msg);
int  send_outcome(nngio_op *op, int rv, nng_msg **msg);
void op_pending(nngio_op *op);
void op_next_turn(nngio_op *op);
void op_on_loop(nngio_op *op);
void op_off_loop(nngio_op *op);
bool op_has_to_look(nngio_op *op, nngio_handle *h);
int  op_try_send(nngio_op *op, nng_aio *aio, nng_msg **msg);
int  op_try_recv(nngio_op *op, nngio_handle *h, nng_aio *aio);
nng_aio *aio_to_try(nngio_op *op);
nng_aio *op_inline_aio(nngio_op *op);
bool inline_done(nngio_op *op);
void inline_end(nngio_op *op);
int  inline_finish(nngio_op *op);
int  inline_result(nngio_op *op, nng_aio *aio, nng_msg **left);
int  op_send_allowed(nngio_op *op, nngio_handle *h, nng_msg *msg);

// log.c
void log_keep(int level, int facility, const char *id, const char *text);

// message.c
void     box_hold(nngio_box *box);
void     box_rele(nngio_box *box);
nng_msg *box_take(nngio_box *box);
int      message_make_room(nngio_handle *h, nng_msg **msg);

// queue.c
// A queue's stamp is one receive (the low bits count) and a random number (the high bits add up).
#define STAMP_COUNT 0xFFFFFFu
void queue_hold(nngio_queue *q);
void queue_rele(nngio_queue *q);
nng_aio *queue_inline_aio(nngio_queue *q);
uint64_t queue_stamp(nngio_queue *q);
void queue_push(nngio_queue *q, nngio_op *op);
void queue_put_last(nngio_queue *q, nngio_op **ops, int n);

// spin.c
bool spin_pays(spin_luck *luck);
bool spin_begin(spinner *s, spin_luck *luck);
void spin_polls(spinner *s);
void spin_sleeps(void);
bool spin_goes_on(spinner *s);
void spin_end(spinner *s, bool found);
void nng_task_attend(bool (*more)(void *), void *arg);

// sleep.c: wait on a word until it changes
void word_wake(atomic_uint *word);
bool word_wait(atomic_uint *word, unsigned seen, int ms); // false: time is up, or a signal came

#endif
