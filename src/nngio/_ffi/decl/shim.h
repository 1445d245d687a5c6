// Declares nngio's own C, shim/nngio_shim.h.

#define NNGIO_AGAIN ...
#define NNGIO_FORKED ...
#define NNGIO_BUSY ...
#define NNGIO_PENDING ...
#define NNGIO_LOOK ...
#define NNGIO_OTHER ...
#define NNGIO_BATCH ...

#define NNGIO_TRY_SEND ...
#define NNGIO_TRY_RECV ...
#define NNGIO_KEEP_SEND ...
#define NNGIO_INLINE_SEND ...
#define NNGIO_SEND_RESTARTS ...
#define NNGIO_SEND_NEEDS_ONE ...
#define NNGIO_RAW ...
#define NNGIO_SURVEYS ...
#define NNGIO_NUMBERED ...
#define NNGIO_ADDRESSED ...

#define NNGIO_RULE_IPV4 ...
#define NNGIO_RULE_IPV6 ...
#define NNGIO_RULE_UID ...
#define NNGIO_RULE_GID ...
#define NNGIO_RULE_PID ...
#define NNGIO_RULE_SUBJECT ...


typedef struct nngio_box {
    nng_msg *msg;
    uint32_t views;
    ...;
} nngio_box;
typedef struct nngio_datagram {
    nng_sockaddr from;
    size_t len;
    char data[];
    ...;
} nngio_datagram;

typedef struct nngio_op {
    int result;
    int kind;
    char *body;
    size_t len;
    int count;
    size_t bytes;
    nngio_datagram *datagram;
    bool taken;
    ...;
} nngio_op;
typedef struct nngio_device nngio_device;
typedef struct nngio_handle nngio_handle;
typedef struct nngio_queue nngio_queue;
typedef struct nngio_watch nngio_watch;
typedef struct nngio_admission nngio_admission;
typedef struct nngio_peer {
    uint32_t id, dialer, listener;
    nng_sockaddr local, remote;
    uint64_t uid, gid, pid;
    bool has_uid, has_gid, has_pid;
    bool tls, verified;
    char *subject;
    char **names;
    char *url;
    ...;
} nngio_peer;
typedef struct nngio_event {
    nngio_peer *peer;
    bool connected;
    ...;
} nngio_event;
typedef struct nngio_stream nngio_stream;

int nngio_init(void);
int nngio_init_set_parameter(int parameter, uint64_t value);
bool nngio_started(void);
bool nngio_forked(void);
void nngio_spin_set(int64_t ns);
int64_t nngio_spin_get(void);
void nngio_end(void);

nngio_box *nngio_box_new(void);
int nngio_box_fill(nngio_box *box, const void *data, size_t len);
int nngio_box_alloc(nngio_box *box, size_t len);
int nngio_box_copy(nngio_box *to, const nngio_box *from);
void nngio_box_free(nngio_box *box);
void nngio_handle_set_hops(nngio_handle *h, int hops);

nngio_handle *nngio_socket_open(int (*open)(nng_socket *), uint32_t flags, int *error);
nngio_handle *nngio_context_open(nngio_handle *socket, uint32_t flags, int *error);
int nngio_handle_close(nngio_handle *h);
bool nngio_handle_closed(nngio_handle *h);
void nngio_handle_free(nngio_handle *h);
uint32_t nngio_handle_id(nngio_handle *h);
uint32_t nngio_handle_parked(nngio_handle *h);
int nngio_ctx_get(nngio_handle *h, const char *name, void *value, size_t *size);
int nngio_ctx_set(nngio_handle *h, const char *name, const void *value, size_t size);
uint32_t nngio_handle_on_loops(nngio_handle *h);

nngio_op *nngio_op_new(int slice_ms);
void nngio_op_free(nngio_op *op);
int nngio_send(nngio_op *op, nngio_handle *h, const void *data, size_t len, int ms);
int nngio_send_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms);
int nngio_recv(nngio_op *op, nngio_handle *h, int ms);
int nngio_wait(nngio_op *op);
int nngio_cancel(nngio_op *op);
int nngio_begin_send(nngio_op *op, nngio_handle *h, const void *data, size_t len, int ms);
int nngio_begin_send_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms);
int nngio_begin_recv(nngio_op *op, nngio_handle *h, int ms);
int nngio_begin_recv_many(nngio_op *op, nngio_handle *h, int max, int ms);
int nngio_recv_many(nngio_op *op, nngio_handle *h, int max, int ms);
void nngio_recv_more(nngio_op *op, int max);
int nngio_prefetch(nngio_handle *h, int max);
void nngio_batch_take(nngio_op *op, nngio_box **boxes);
void nngio_batch_return(nngio_op *op, nngio_box **boxes);
void nngio_abandon(nngio_op *op, nngio_box *box);
void nngio_leave(nngio_op *op, nngio_box *box);
void nngio_abandon_all(nngio_op **ops, int n);
void nngio_lend(nngio_queue *q, nngio_op **ops, int n);
void nngio_op_take(nngio_op *op, nngio_box *box);
void nngio_op_drop(nngio_op *op);
nngio_handle *nngio_op_waits_on(nngio_op *op);

int nngio_op_attach(nngio_op *op, nngio_queue *queue, uint64_t tag);
int nngio_submit_send(nngio_op *op, nngio_handle *h, nngio_box *box, int ms);
int nngio_submit_recv(nngio_op *op, nngio_handle *h, int ms);
int nngio_submit_sleep(nngio_op *op, int sleep_ms, int ms);
int nngio_begin_dial(nngio_op *op, nngio_handle *h, uint32_t dialer);
int nngio_begin_close(nngio_op *op, nngio_handle *h);
int nngio_begin_dialer_close(nngio_op *op, nngio_handle *h, uint32_t dialer);
int nngio_begin_listener_close(nngio_op *op, nngio_handle *h, uint32_t listener);
int nngio_dialer_close(nngio_handle *h, uint32_t dialer);
int nngio_listener_close(nngio_handle *h, uint32_t listener);
int nngio_op_abort(nngio_op *op, int code);
void nngio_op_give_up(nngio_op *op);
void nngio_op_settle(nngio_op *op);
bool nngio_op_busy(nngio_op *op);
bool nngio_op_receives_on(nngio_op *op, nngio_handle *h);
uint64_t nngio_op_tag(nngio_op *op);

nngio_peer *nngio_peer_of(uint32_t id);
void nngio_peer_free(nngio_peer *p);
unsigned nngio_pipes(nngio_handle *h, uint32_t *ids, unsigned max);
int nngio_admission_set(nngio_handle *h, nngio_admission *a);
int nngio_begin_peers(nngio_op *op, nngio_handle *h, unsigned peers);
int nngio_begin_events(nngio_op *op, nngio_watch *w);
int nngio_ring_events(nngio_op *op, nngio_watch *w);
nngio_watch *nngio_watch_new(nngio_handle *h, unsigned limit);
void nngio_watch_close(nngio_watch *w);
void nngio_watch_free(nngio_watch *w);
void nngio_watch_take(nngio_watch *w, nngio_event **event);
void nngio_watch_return(nngio_watch *w, nngio_event **event);
void nngio_event_free(nngio_event **event);
bool nngio_watch_ended(nngio_watch *w);
uint64_t nngio_watch_skipped(nngio_watch *w);

nngio_admission *nngio_admission_new(int count, bool allows, int64_t most);
void nngio_admission_set_network(nngio_admission *a, int i, bool denies, int kind, const uint8_t *address, unsigned bits);
void nngio_admission_set_number(nngio_admission *a, int i, bool denies, int kind, uint64_t number);
int nngio_admission_set_subject(nngio_admission *a, int i, bool denies, const char *subject);
void nngio_admission_free(nngio_admission *a);
void nngio_admission_counters(nngio_admission *a, uint64_t *totals, uint64_t *refused);

nngio_queue *nngio_queue_new(void);
void nngio_queue_free(nngio_queue *q);
int nngio_queue_fd(nngio_queue *q);
int nngio_queue_drain(nngio_queue *q, nngio_op **ops, int max);
int nngio_queue_settle(nngio_queue *q, uint32_t *tags, int max);
void nngio_queue_put_back(nngio_queue *q, nngio_op **ops, int n);
bool nngio_queue_attend(nngio_queue *q);
bool nngio_queue_attends(nngio_queue *q);
void nngio_queue_mind(nngio_queue *q);
void nngio_queue_leave(nngio_queue *q);
bool nngio_queue_finds(nngio_queue *q);
int nngio_queue_wait(nngio_queue *q, int ms);
void nngio_queue_wake(nngio_queue *q);

int nngio_device_start(nngio_device *d, nngio_handle *a, nngio_handle *b, bool forth, bool back);
int nngio_device_result(nngio_device *d);
void nngio_device_stop(nngio_device *d);
uint64_t nngio_device_forwarded(nngio_device *d, nngio_handle *from);
int nngio_begin_join(nngio_op *op, nngio_device *d);

typedef struct {
    int level, facility;
    double seconds;
    char id[64];
    char text[512];
} nngio_log_record;

int nngio_log_start(void);
void nngio_log_wakes(nngio_queue *q);
bool nngio_log_take(nngio_log_record *record, uint64_t *lost);

nng_tls_config *nngio_tls_config_new(nng_tls_mode mode, int *error);
void nngio_tls_config_free(nng_tls_config *config);

uint32_t nngio_udp_open(const nng_sockaddr *address, uint32_t most, int *error);
int nngio_udp_close(uint32_t id);
int nngio_udp_recv(uint32_t id, nngio_op *op, int ms);
int nngio_udp_send(uint32_t id, const void *data, size_t len, const nng_sockaddr *to, uint64_t *ticket);
int nngio_udp_sent(uint32_t id, nngio_op *op, uint64_t ticket, int ms);
void nngio_udp_forget(nngio_op *op);
int nngio_udp_address(uint32_t id, nng_sockaddr *sa);
int nngio_udp_member(uint32_t id, const nng_sockaddr *group, bool join);

nngio_stream *nngio_stream_dialer(const char *url, int *error);
nngio_stream *nngio_stream_listener(const char *url, int *error);
int nngio_stream_listen(nngio_stream *s);
int nngio_stream_begin_recv(nngio_op *op, nngio_stream *s, size_t least, size_t most, int ms);
int nngio_stream_begin_send(nngio_op *op, nngio_stream *s, const void *data, size_t len, bool all, int ms);
int nngio_stream_wait(nngio_op *op);
nngio_stream *nngio_stream_given(nngio_op *op);
int nngio_stream_get(nngio_stream *s, const char *name, void *value, size_t *size);
int nngio_stream_get_string(nngio_stream *s, const char *name, char **value);
int nngio_stream_set(nngio_stream *s, const char *name, const void *value, size_t size);
int nngio_stream_close(nngio_stream *s);
bool nngio_stream_closed(nngio_stream *s);
bool nngio_stream_heard(nngio_stream *s);

#define NNGIO_HTTP_CONNECT ...
#define NNGIO_HTTP_READ ...
#define NNGIO_HTTP_READ_ALL ...
#define NNGIO_HTTP_WRITE ...
#define NNGIO_HTTP_WRITE_ALL ...
#define NNGIO_HTTP_READ_REQUEST ...
#define NNGIO_HTTP_READ_RESPONSE ...
#define NNGIO_HTTP_WRITE_REQUEST ...
#define NNGIO_HTTP_WRITE_RESPONSE ...
#define NNGIO_HTTP_METHOD ...
#define NNGIO_HTTP_URI ...
#define NNGIO_HTTP_VERSION ...
#define NNGIO_HTTP_REASON ...
#define NNGIO_HTTP_HEADER ...
#define NNGIO_HTTP_HEADERS ...

typedef struct nngio_http nngio_http;
typedef struct nngio_http_handler nngio_http_handler;
typedef struct nngio_http_message {
    nng_http_req *req;
    nng_http_res *res;
    ...;
} nngio_http_message;
typedef struct nngio_http_server nngio_http_server;

nngio_http *nngio_http_client(const char *url, int *error);
int nngio_http_begin(nngio_op *op, nngio_http *h, int what, nngio_http_message *m, const void *data, size_t size, int ms);
nngio_http *nngio_http_given(nngio_op *op);
int nngio_http_set_tls(nngio_http *h, nng_tls_config *config);
int nngio_http_close(nngio_http *h);
void nngio_http_interrupt(nngio_http *h);
bool nngio_http_interrupted(nngio_http *h);
bool nngio_http_closed(nngio_http *h);
void nngio_http_free(nngio_http *h);
void nngio_http_let_go(nngio_http *h);

nngio_http_message *nngio_http_request(int *error);
nngio_http_message *nngio_http_response(uint16_t status, int *error);
char *nngio_http_text(nngio_http_message *m, int which, const char *name);
void *nngio_http_body(nngio_http_message *m, size_t *size);
void nngio_http_text_free(void *text);
void nngio_http_message_free(nngio_http_message *m);

void nngio_http_wakes(nngio_queue *q);
nngio_http_message *nngio_http_next(uint64_t *tag);
bool nngio_http_answered(nngio_http_message *m);
int nngio_http_answer(nngio_http_message *m, nngio_http_message *response);
nngio_http *nngio_http_take_over(nngio_http_message *m, int *error);
void nngio_http_call_end(nngio_http_message *m);

nngio_http_handler *nngio_http_handler_new(const char *path, uint64_t tag, const char *type, const void *data, size_t size, int *error);
nngio_http_handler *nngio_http_handler_own(const char *path, const char *target, uint16_t status, int *error);
nng_http_handler *nngio_http_handler_c(nngio_http_handler *h);
void nngio_http_handler_free(nngio_http_handler *h);

nngio_http_server *nngio_http_server_new(const char *url, int *error);
int nngio_http_server_start(nngio_http_server *s);
int nngio_http_server_address(nngio_http_server *s, nng_sockaddr *sa);
int nngio_http_server_tls(nngio_http_server *s, nng_tls_config *config);
int nngio_http_server_page(nngio_http_server *s, uint16_t status, const char *text, const char *path);
int nngio_http_server_error(nngio_http_server *s, nngio_http_message *response);
int nngio_http_server_add(nngio_http_server *s, nngio_http_handler *h);
int nngio_http_server_remove(nngio_http_server *s, nngio_http_handler *h, bool held);
int nngio_http_server_close(nngio_http_server *s, bool held);
void nngio_http_server_free(nngio_http_server *s);
