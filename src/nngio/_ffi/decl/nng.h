// Declares <nng/nng.h>, but for the clock, the threads and the socket pair, which are in platform.h.

#define NNG_MAJOR_VERSION ...
#define NNG_MINOR_VERSION ...
#define NNG_PATCH_VERSION ...
static const char *const NNG_RELEASE_SUFFIX;

// Handles. Not partial (`...;`): a callback that takes one by value has to know its whole layout.

typedef struct nng_socket_s {
    uint32_t id;
} nng_socket;

typedef struct nng_ctx_s {
    uint32_t id;
} nng_ctx;

typedef struct nng_dialer_s {
    uint32_t id;
} nng_dialer;

typedef struct nng_listener_s {
    uint32_t id;
} nng_listener;

typedef struct nng_pipe_s {
    uint32_t id;
} nng_pipe;

typedef struct nng_aio nng_aio;
typedef struct nng_msg nng_msg;
typedef struct nng_stat nng_stat;
typedef struct nng_stream nng_stream;
typedef struct nng_stream_dialer nng_stream_dialer;
typedef struct nng_stream_listener nng_stream_listener;
typedef struct nng_udp nng_udp; // since 1.9.0

typedef int32_t nng_duration;
typedef uint64_t nng_time;

#define NNG_DURATION_INFINITE ...
#define NNG_DURATION_DEFAULT ...
#define NNG_DURATION_ZERO ...

#define NNG_FLAG_ALLOC ...
#define NNG_FLAG_NONBLOCK ...

// Addresses.

#define NNG_MAXADDRLEN ...
#define NNG_MAXADDRSTRLEN ... // since 1.8.0

enum nng_sockaddr_family {
    NNG_AF_UNSPEC,
    NNG_AF_INPROC,
    NNG_AF_IPC,
    NNG_AF_INET,
    NNG_AF_INET6,
    NNG_AF_ZT,
    NNG_AF_ABSTRACT,
    ...
};

typedef struct nng_sockaddr_inproc {
    uint16_t sa_family;
    char sa_name[...];
} nng_sockaddr_inproc;

typedef struct nng_sockaddr_path {
    uint16_t sa_family;
    char sa_path[...];
} nng_sockaddr_path;

typedef struct nng_sockaddr_path nng_sockaddr_ipc;

typedef struct nng_sockaddr_in {
    uint16_t sa_family;
    uint16_t sa_port;
    uint32_t sa_addr;
} nng_sockaddr_in;

typedef struct nng_sockaddr_in6 {
    uint16_t sa_family;
    uint16_t sa_port;
    uint8_t sa_addr[16];
    uint32_t sa_scope;
} nng_sockaddr_in6;

typedef struct nng_sockaddr_zt {
    uint16_t sa_family;
    uint64_t sa_nwid;
    uint64_t sa_nodeid;
    uint32_t sa_port;
} nng_sockaddr_zt;

typedef struct nng_sockaddr_abstract {
    uint16_t sa_family;
    uint16_t sa_len;
    uint8_t sa_name[...];
} nng_sockaddr_abstract;

typedef struct nng_sockaddr_storage {
    uint16_t sa_family;
    uint64_t sa_pad[...];
} nng_sockaddr_storage;

typedef union nng_sockaddr {
    uint16_t s_family;
    nng_sockaddr_ipc s_ipc;
    nng_sockaddr_inproc s_inproc;
    nng_sockaddr_in6 s_in6;
    nng_sockaddr_in s_in;
    nng_sockaddr_zt s_zt;
    nng_sockaddr_abstract s_abstract;
    nng_sockaddr_storage s_storage;
} nng_sockaddr;

const char *nng_str_sockaddr(const nng_sockaddr *, char *, size_t); // since 1.8.0

// Library.

enum nng_errno_enum {
    NNG_EINTR,
    NNG_ENOMEM,
    NNG_EINVAL,
    NNG_EBUSY,
    NNG_ETIMEDOUT,
    NNG_ECONNREFUSED,
    NNG_ECLOSED,
    NNG_EAGAIN,
    NNG_ENOTSUP,
    NNG_EADDRINUSE,
    NNG_ESTATE,
    NNG_ENOENT,
    NNG_EPROTO,
    NNG_EUNREACHABLE,
    NNG_EADDRINVAL,
    NNG_EPERM,
    NNG_EMSGSIZE,
    NNG_ECONNABORTED,
    NNG_ECONNRESET,
    NNG_ECANCELED,
    NNG_ENOFILES,
    NNG_ENOSPC,
    NNG_EEXIST,
    NNG_EREADONLY,
    NNG_EWRITEONLY,
    NNG_ECRYPTO,
    NNG_EPEERAUTH,
    NNG_ENOARG,
    NNG_EAMBIGUOUS,
    NNG_EBADTYPE,
    NNG_ECONNSHUT,
    NNG_EINTERNAL,
    NNG_ESYSERR,
    NNG_ETRANERR,
    ...
};

typedef int nng_init_parameter; // since 1.7.0

// An enum without a name, which is of no use as a type.
#define NNG_INIT_PARAMETER_NONE ... // since 1.7.0
#define NNG_INIT_NUM_TASK_THREADS ... // since 1.7.0
#define NNG_INIT_NUM_EXPIRE_THREADS ... // since 1.7.0
#define NNG_INIT_NUM_POLLER_THREADS ... // since 1.7.0
#define NNG_INIT_NUM_RESOLVER_THREADS ... // since 1.7.0
#define NNG_INIT_MAX_TASK_THREADS ... // since 1.7.0
#define NNG_INIT_MAX_EXPIRE_THREADS ... // since 1.7.0
#define NNG_INIT_MAX_POLLER_THREADS ... // since 1.7.0

void nng_init_set_parameter(nng_init_parameter, uint64_t); // since 1.7.0
void nng_fini(void);
const char *nng_strerror(int);
void *nng_alloc(size_t);
void nng_free(void *, size_t);
char *nng_strdup(const char *);
void nng_strfree(char *);
const char *nng_version(void);

// Names of options.

static const char *const NNG_OPT_SOCKNAME;
static const char *const NNG_OPT_RAW;
static const char *const NNG_OPT_PROTO;
static const char *const NNG_OPT_PROTONAME;
static const char *const NNG_OPT_PEER;
static const char *const NNG_OPT_PEERNAME;
static const char *const NNG_OPT_RECVBUF;
static const char *const NNG_OPT_SENDBUF;
static const char *const NNG_OPT_RECVFD;
static const char *const NNG_OPT_SENDFD;
static const char *const NNG_OPT_RECVTIMEO;
static const char *const NNG_OPT_SENDTIMEO;
static const char *const NNG_OPT_LOCADDR;
static const char *const NNG_OPT_REMADDR;
static const char *const NNG_OPT_URL;
static const char *const NNG_OPT_MAXTTL;
static const char *const NNG_OPT_RECVMAXSZ;
static const char *const NNG_OPT_RECONNMINT;
static const char *const NNG_OPT_RECONNMAXT;
static const char *const NNG_OPT_TLS_CONFIG;
static const char *const NNG_OPT_TLS_AUTH_MODE;
static const char *const NNG_OPT_TLS_CERT_KEY_FILE;
static const char *const NNG_OPT_TLS_CA_FILE;
static const char *const NNG_OPT_TLS_SERVER_NAME;
static const char *const NNG_OPT_TLS_VERIFIED;
static const char *const NNG_OPT_TLS_PEER_CN; // since 1.6.0
static const char *const NNG_OPT_TLS_PEER_ALT_NAMES; // since 1.6.0
static const char *const NNG_OPT_TCP_NODELAY;
static const char *const NNG_OPT_TCP_KEEPALIVE;
static const char *const NNG_OPT_TCP_BOUND_PORT;
static const char *const NNG_OPT_IPC_SECURITY_DESCRIPTOR;
static const char *const NNG_OPT_IPC_PERMISSIONS;
static const char *const NNG_OPT_IPC_PEER_UID;
static const char *const NNG_OPT_IPC_PEER_GID;
static const char *const NNG_OPT_IPC_PEER_PID;
static const char *const NNG_OPT_IPC_PEER_ZONEID;
static const char *const NNG_OPT_PEER_UID; // since 1.7.0
static const char *const NNG_OPT_PEER_GID; // since 1.7.0
static const char *const NNG_OPT_PEER_PID; // since 1.7.0
static const char *const NNG_OPT_PEER_ZONEID; // since 1.7.0
static const char *const NNG_OPT_SOCKET_FD; // since 1.7.0
static const char *const NNG_OPT_WS_REQUEST_HEADERS;
static const char *const NNG_OPT_WS_RESPONSE_HEADERS;
static const char *const NNG_OPT_WS_REQUEST_HEADER;
static const char *const NNG_OPT_WS_RESPONSE_HEADER;
static const char *const NNG_OPT_WS_REQUEST_URI;
static const char *const NNG_OPT_WS_SENDMAXFRAME;
static const char *const NNG_OPT_WS_RECVMAXFRAME;
static const char *const NNG_OPT_WS_PROTOCOL;
static const char *const NNG_OPT_WS_SEND_TEXT;
static const char *const NNG_OPT_WS_RECV_TEXT;

// Sockets.

int nng_close(nng_socket);
int nng_socket_close(nng_socket); // since 1.10.0
int nng_socket_id(nng_socket);
int nng_socket_set(nng_socket, const char *, const void *, size_t);
int nng_socket_set_bool(nng_socket, const char *, bool);
int nng_socket_set_int(nng_socket, const char *, int);
int nng_socket_set_size(nng_socket, const char *, size_t);
int nng_socket_set_uint64(nng_socket, const char *, uint64_t);
int nng_socket_set_string(nng_socket, const char *, const char *);
int nng_socket_set_ptr(nng_socket, const char *, void *);
int nng_socket_set_ms(nng_socket, const char *, nng_duration);
int nng_socket_set_addr(nng_socket, const char *, const nng_sockaddr *);
int nng_socket_get(nng_socket, const char *, void *, size_t *);
int nng_socket_get_bool(nng_socket, const char *, bool *);
int nng_socket_get_int(nng_socket, const char *, int *);
int nng_socket_get_size(nng_socket, const char *, size_t *);
int nng_socket_get_uint64(nng_socket, const char *, uint64_t *);
int nng_socket_get_string(nng_socket, const char *, char **);
int nng_socket_get_ptr(nng_socket, const char *, void **);
int nng_socket_get_ms(nng_socket, const char *, nng_duration *);
int nng_socket_get_addr(nng_socket, const char *, nng_sockaddr *);
int nng_socket_proto_id(nng_socket, uint16_t *); // since 1.10.0
int nng_socket_peer_id(nng_socket, uint16_t *); // since 1.10.0
int nng_socket_proto_name(nng_socket, const char **); // since 1.10.0
int nng_socket_peer_name(nng_socket, const char **); // since 1.10.0
int nng_socket_raw(nng_socket, bool *); // since 1.10.0
int nng_listen(nng_socket, const char *, nng_listener *, int);
int nng_dial(nng_socket, const char *, nng_dialer *, int);
int nng_send(nng_socket, void *, size_t, int);
int nng_recv(nng_socket, void *, size_t *, int);
int nng_sendmsg(nng_socket, nng_msg *, int);
int nng_recvmsg(nng_socket, nng_msg **, int);
void nng_sock_send(nng_socket, nng_aio *); // since 1.10.0
void nng_send_aio(nng_socket, nng_aio *);
void nng_sock_recv(nng_socket, nng_aio *); // since 1.10.0
void nng_recv_aio(nng_socket, nng_aio *);
int nng_device(nng_socket, nng_socket);
void nng_device_aio(nng_aio *, nng_socket, nng_socket); // since 1.6.0

typedef enum {
    NNG_PIPE_EV_ADD_PRE,
    NNG_PIPE_EV_ADD_POST,
    NNG_PIPE_EV_REM_POST,
    NNG_PIPE_EV_NUM,
    ...
} nng_pipe_ev;

typedef void (*nng_pipe_cb)(nng_pipe, nng_pipe_ev, void *);
int nng_pipe_notify(nng_socket, nng_pipe_ev, nng_pipe_cb, void *);

// Contexts.

int nng_ctx_open(nng_ctx *, nng_socket);
int nng_ctx_close(nng_ctx);
int nng_ctx_id(nng_ctx);
void nng_ctx_recv(nng_ctx, nng_aio *);
int nng_ctx_recvmsg(nng_ctx, nng_msg **, int); // since 1.6.0
void nng_ctx_send(nng_ctx, nng_aio *);
int nng_ctx_sendmsg(nng_ctx, nng_msg *, int); // since 1.6.0
int nng_ctx_get(nng_ctx, const char *, void *, size_t *);
int nng_ctx_get_bool(nng_ctx, const char *, bool *);
int nng_ctx_get_int(nng_ctx, const char *, int *);
int nng_ctx_get_size(nng_ctx, const char *, size_t *);
int nng_ctx_get_uint64(nng_ctx, const char *, uint64_t *);
int nng_ctx_get_string(nng_ctx, const char *, char **);
int nng_ctx_get_ptr(nng_ctx, const char *, void **);
int nng_ctx_get_ms(nng_ctx, const char *, nng_duration *);
int nng_ctx_set(nng_ctx, const char *, const void *, size_t);
int nng_ctx_set_bool(nng_ctx, const char *, bool);
int nng_ctx_set_int(nng_ctx, const char *, int);
int nng_ctx_set_size(nng_ctx, const char *, size_t);
int nng_ctx_set_uint64(nng_ctx, const char *, uint64_t);
int nng_ctx_set_string(nng_ctx, const char *, const char *);
int nng_ctx_set_ptr(nng_ctx, const char *, void *);
int nng_ctx_set_ms(nng_ctx, const char *, nng_duration);

// URLs.

typedef struct nng_url {
    char *u_rawurl;
    char *u_scheme;
    char *u_userinfo;
    char *u_host;
    char *u_hostname;
    char *u_port;
    char *u_path;
    char *u_query;
    char *u_fragment;
    char *u_requri;
    ...;
} nng_url;

int nng_url_parse(nng_url **, const char *);
void nng_url_free(nng_url *);
int nng_url_clone(nng_url **, const nng_url *);

// Dialers.

int nng_dialer_create(nng_dialer *, nng_socket, const char *);
int nng_dialer_start(nng_dialer, int);
int nng_dialer_close(nng_dialer);
int nng_dialer_id(nng_dialer);
int nng_dialer_set(nng_dialer, const char *, const void *, size_t);
int nng_dialer_set_bool(nng_dialer, const char *, bool);
int nng_dialer_set_int(nng_dialer, const char *, int);
int nng_dialer_set_size(nng_dialer, const char *, size_t);
int nng_dialer_set_uint64(nng_dialer, const char *, uint64_t);
int nng_dialer_set_string(nng_dialer, const char *, const char *);
int nng_dialer_set_ptr(nng_dialer, const char *, void *);
int nng_dialer_set_ms(nng_dialer, const char *, nng_duration);
int nng_dialer_set_addr(nng_dialer, const char *, const nng_sockaddr *);
int nng_dialer_get(nng_dialer, const char *, void *, size_t *);
int nng_dialer_get_bool(nng_dialer, const char *, bool *);
int nng_dialer_get_int(nng_dialer, const char *, int *);
int nng_dialer_get_size(nng_dialer, const char *, size_t *);
int nng_dialer_get_uint64(nng_dialer, const char *, uint64_t *);
int nng_dialer_get_string(nng_dialer, const char *, char **);
int nng_dialer_get_ptr(nng_dialer, const char *, void **);
int nng_dialer_get_ms(nng_dialer, const char *, nng_duration *);
int nng_dialer_get_addr(nng_dialer, const char *, nng_sockaddr *);
int nng_dialer_get_url(nng_dialer, const nng_url **); // since 1.10.0

// Listeners.

int nng_listener_create(nng_listener *, nng_socket, const char *);
int nng_listener_start(nng_listener, int);
int nng_listener_close(nng_listener);
int nng_listener_id(nng_listener);
int nng_listener_set(nng_listener, const char *, const void *, size_t);
int nng_listener_set_bool(nng_listener, const char *, bool);
int nng_listener_set_int(nng_listener, const char *, int);
int nng_listener_set_size(nng_listener, const char *, size_t);
int nng_listener_set_uint64(nng_listener, const char *, uint64_t);
int nng_listener_set_string(nng_listener, const char *, const char *);
int nng_listener_set_ptr(nng_listener, const char *, void *);
int nng_listener_set_ms(nng_listener, const char *, nng_duration);
int nng_listener_set_addr(nng_listener, const char *, const nng_sockaddr *);
int nng_listener_get(nng_listener, const char *, void *, size_t *);
int nng_listener_get_bool(nng_listener, const char *, bool *);
int nng_listener_get_int(nng_listener, const char *, int *);
int nng_listener_get_size(nng_listener, const char *, size_t *);
int nng_listener_get_uint64(nng_listener, const char *, uint64_t *);
int nng_listener_get_string(nng_listener, const char *, char **);
int nng_listener_get_ptr(nng_listener, const char *, void **);
int nng_listener_get_ms(nng_listener, const char *, nng_duration *);
int nng_listener_get_addr(nng_listener, const char *, nng_sockaddr *);
int nng_listener_get_url(nng_listener, const nng_url **); // since 1.10.0

// Pipes.

int nng_pipe_get(nng_pipe, const char *, void *, size_t *);
int nng_pipe_get_bool(nng_pipe, const char *, bool *);
int nng_pipe_get_int(nng_pipe, const char *, int *);
int nng_pipe_get_ms(nng_pipe, const char *, nng_duration *);
int nng_pipe_get_size(nng_pipe, const char *, size_t *);
int nng_pipe_get_uint64(nng_pipe, const char *, uint64_t *);
int nng_pipe_get_string(nng_pipe, const char *, char **);
int nng_pipe_get_ptr(nng_pipe, const char *, void **);
int nng_pipe_get_addr(nng_pipe, const char *, nng_sockaddr *);
int nng_pipe_close(nng_pipe);
int nng_pipe_id(nng_pipe);
nng_socket nng_pipe_socket(nng_pipe);
nng_dialer nng_pipe_dialer(nng_pipe);
nng_listener nng_pipe_listener(nng_pipe);

// Asynchronous operations.

typedef struct nng_iov {
    void *iov_buf;
    size_t iov_len;
} nng_iov;

typedef void (*nng_aio_cancelfn)(nng_aio *, void *, int);

int nng_aio_alloc(nng_aio **, void (*)(void *), void *);
void nng_aio_free(nng_aio *);
void nng_aio_reap(nng_aio *);
void nng_aio_stop(nng_aio *);
int nng_aio_result(nng_aio *);
size_t nng_aio_count(nng_aio *);
void nng_aio_cancel(nng_aio *);
void nng_aio_abort(nng_aio *, int);
void nng_aio_wait(nng_aio *);
bool nng_aio_busy(nng_aio *); // since 1.6.0
void nng_aio_set_msg(nng_aio *, nng_msg *);
nng_msg *nng_aio_get_msg(nng_aio *);
int nng_aio_set_input(nng_aio *, unsigned, void *);
void *nng_aio_get_input(nng_aio *, unsigned);
int nng_aio_set_output(nng_aio *, unsigned, void *);
void *nng_aio_get_output(nng_aio *, unsigned);
void nng_aio_set_timeout(nng_aio *, nng_duration);
void nng_aio_set_expire(nng_aio *, nng_time); // since 1.7.0
int nng_aio_set_iov(nng_aio *, unsigned, const nng_iov *);
bool nng_aio_begin(nng_aio *);
void nng_aio_finish(nng_aio *, int);
void nng_aio_defer(nng_aio *, nng_aio_cancelfn, void *);
void nng_sleep_aio(nng_duration, nng_aio *);

// Messages.

int nng_msg_alloc(nng_msg **, size_t);
void nng_msg_free(nng_msg *);
int nng_msg_realloc(nng_msg *, size_t);
int nng_msg_reserve(nng_msg *, size_t);
size_t nng_msg_capacity(nng_msg *);
void *nng_msg_header(nng_msg *);
size_t nng_msg_header_len(const nng_msg *);
void *nng_msg_body(nng_msg *);
size_t nng_msg_len(const nng_msg *);
int nng_msg_append(nng_msg *, const void *, size_t);
int nng_msg_insert(nng_msg *, const void *, size_t);
int nng_msg_trim(nng_msg *, size_t);
int nng_msg_chop(nng_msg *, size_t);
int nng_msg_header_append(nng_msg *, const void *, size_t);
int nng_msg_header_insert(nng_msg *, const void *, size_t);
int nng_msg_header_trim(nng_msg *, size_t);
int nng_msg_header_chop(nng_msg *, size_t);
int nng_msg_header_append_u16(nng_msg *, uint16_t);
int nng_msg_header_append_u32(nng_msg *, uint32_t);
int nng_msg_header_append_u64(nng_msg *, uint64_t);
int nng_msg_header_insert_u16(nng_msg *, uint16_t);
int nng_msg_header_insert_u32(nng_msg *, uint32_t);
int nng_msg_header_insert_u64(nng_msg *, uint64_t);
int nng_msg_header_chop_u16(nng_msg *, uint16_t *);
int nng_msg_header_chop_u32(nng_msg *, uint32_t *);
int nng_msg_header_chop_u64(nng_msg *, uint64_t *);
int nng_msg_header_trim_u16(nng_msg *, uint16_t *);
int nng_msg_header_trim_u32(nng_msg *, uint32_t *);
int nng_msg_header_trim_u64(nng_msg *, uint64_t *);
int nng_msg_append_u16(nng_msg *, uint16_t);
int nng_msg_append_u32(nng_msg *, uint32_t);
int nng_msg_append_u64(nng_msg *, uint64_t);
int nng_msg_insert_u16(nng_msg *, uint16_t);
int nng_msg_insert_u32(nng_msg *, uint32_t);
int nng_msg_insert_u64(nng_msg *, uint64_t);
int nng_msg_chop_u16(nng_msg *, uint16_t *);
int nng_msg_chop_u32(nng_msg *, uint32_t *);
int nng_msg_chop_u64(nng_msg *, uint64_t *);
int nng_msg_trim_u16(nng_msg *, uint16_t *);
int nng_msg_trim_u32(nng_msg *, uint32_t *);
int nng_msg_trim_u64(nng_msg *, uint64_t *);
int nng_msg_dup(nng_msg **, const nng_msg *);
void nng_msg_clear(nng_msg *);
void nng_msg_header_clear(nng_msg *);
void nng_msg_set_pipe(nng_msg *, nng_pipe);
nng_pipe nng_msg_get_pipe(const nng_msg *);

// Statistics.

enum nng_stat_type_enum {
    NNG_STAT_SCOPE,
    NNG_STAT_LEVEL,
    NNG_STAT_COUNTER,
    NNG_STAT_STRING,
    NNG_STAT_BOOLEAN,
    NNG_STAT_ID,
    ...
};

enum nng_unit_enum {
    NNG_UNIT_NONE,
    NNG_UNIT_BYTES,
    NNG_UNIT_MESSAGES,
    NNG_UNIT_MILLIS,
    NNG_UNIT_EVENTS,
    ...
};

int nng_stats_get(nng_stat **);
void nng_stats_free(nng_stat *);
void nng_stats_dump(nng_stat *);
nng_stat *nng_stat_next(nng_stat *);
nng_stat *nng_stat_child(nng_stat *);
const char *nng_stat_name(nng_stat *);
int nng_stat_type(nng_stat *);
nng_stat *nng_stat_find(nng_stat *, const char *);
nng_stat *nng_stat_find_socket(nng_stat *, nng_socket);
nng_stat *nng_stat_find_dialer(nng_stat *, nng_dialer);
nng_stat *nng_stat_find_listener(nng_stat *, nng_listener);
int nng_stat_unit(nng_stat *);
uint64_t nng_stat_value(nng_stat *);
bool nng_stat_bool(nng_stat *);
const char *nng_stat_string(nng_stat *);
const char *nng_stat_desc(nng_stat *);
uint64_t nng_stat_timestamp(nng_stat *);

// Byte streams.

void nng_stream_free(nng_stream *);
void nng_stream_close(nng_stream *);
void nng_stream_send(nng_stream *, nng_aio *);
void nng_stream_recv(nng_stream *, nng_aio *);
int nng_stream_get(nng_stream *, const char *, void *, size_t *);
int nng_stream_get_bool(nng_stream *, const char *, bool *);
int nng_stream_get_int(nng_stream *, const char *, int *);
int nng_stream_get_ms(nng_stream *, const char *, nng_duration *);
int nng_stream_get_size(nng_stream *, const char *, size_t *);
int nng_stream_get_uint64(nng_stream *, const char *, uint64_t *);
int nng_stream_get_string(nng_stream *, const char *, char **);
int nng_stream_get_ptr(nng_stream *, const char *, void **);
int nng_stream_get_addr(nng_stream *, const char *, nng_sockaddr *);
int nng_stream_set(nng_stream *, const char *, const void *, size_t);
int nng_stream_set_bool(nng_stream *, const char *, bool);
int nng_stream_set_int(nng_stream *, const char *, int);
int nng_stream_set_ms(nng_stream *, const char *, nng_duration);
int nng_stream_set_size(nng_stream *, const char *, size_t);
int nng_stream_set_uint64(nng_stream *, const char *, uint64_t);
int nng_stream_set_string(nng_stream *, const char *, const char *);
int nng_stream_set_ptr(nng_stream *, const char *, void *);

int nng_stream_dialer_alloc(nng_stream_dialer **, const char *);
int nng_stream_dialer_alloc_url(nng_stream_dialer **, const nng_url *);
void nng_stream_dialer_free(nng_stream_dialer *);
void nng_stream_dialer_close(nng_stream_dialer *);
void nng_stream_dialer_dial(nng_stream_dialer *, nng_aio *);
int nng_stream_dialer_set(nng_stream_dialer *, const char *, const void *, size_t);
int nng_stream_dialer_get(nng_stream_dialer *, const char *, void *, size_t *);
int nng_stream_dialer_get_bool(nng_stream_dialer *, const char *, bool *);
int nng_stream_dialer_get_int(nng_stream_dialer *, const char *, int *);
int nng_stream_dialer_get_ms(nng_stream_dialer *, const char *, nng_duration *);
int nng_stream_dialer_get_size(nng_stream_dialer *, const char *, size_t *);
int nng_stream_dialer_get_uint64(nng_stream_dialer *, const char *, uint64_t *);
int nng_stream_dialer_get_string(nng_stream_dialer *, const char *, char **);
int nng_stream_dialer_get_ptr(nng_stream_dialer *, const char *, void **);
int nng_stream_dialer_get_addr(nng_stream_dialer *, const char *, nng_sockaddr *);
int nng_stream_dialer_set_bool(nng_stream_dialer *, const char *, bool);
int nng_stream_dialer_set_int(nng_stream_dialer *, const char *, int);
int nng_stream_dialer_set_ms(nng_stream_dialer *, const char *, nng_duration);
int nng_stream_dialer_set_size(nng_stream_dialer *, const char *, size_t);
int nng_stream_dialer_set_uint64(nng_stream_dialer *, const char *, uint64_t);
int nng_stream_dialer_set_string(nng_stream_dialer *, const char *, const char *);
int nng_stream_dialer_set_ptr(nng_stream_dialer *, const char *, void *);
int nng_stream_dialer_set_addr(nng_stream_dialer *, const char *, const nng_sockaddr *);

int nng_stream_listener_alloc(nng_stream_listener **, const char *);
int nng_stream_listener_alloc_url(nng_stream_listener **, const nng_url *);
void nng_stream_listener_free(nng_stream_listener *);
void nng_stream_listener_close(nng_stream_listener *);
int nng_stream_listener_listen(nng_stream_listener *);
void nng_stream_listener_accept(nng_stream_listener *, nng_aio *);
int nng_stream_listener_set(nng_stream_listener *, const char *, const void *, size_t);
int nng_stream_listener_get(nng_stream_listener *, const char *, void *, size_t *);
int nng_stream_listener_get_bool(nng_stream_listener *, const char *, bool *);
int nng_stream_listener_get_int(nng_stream_listener *, const char *, int *);
int nng_stream_listener_get_ms(nng_stream_listener *, const char *, nng_duration *);
int nng_stream_listener_get_size(nng_stream_listener *, const char *, size_t *);
int nng_stream_listener_get_uint64(nng_stream_listener *, const char *, uint64_t *);
int nng_stream_listener_get_string(nng_stream_listener *, const char *, char **);
int nng_stream_listener_get_ptr(nng_stream_listener *, const char *, void **);
int nng_stream_listener_get_addr(nng_stream_listener *, const char *, nng_sockaddr *);
int nng_stream_listener_set_bool(nng_stream_listener *, const char *, bool);
int nng_stream_listener_set_int(nng_stream_listener *, const char *, int);
int nng_stream_listener_set_ms(nng_stream_listener *, const char *, nng_duration);
int nng_stream_listener_set_size(nng_stream_listener *, const char *, size_t);
int nng_stream_listener_set_uint64(nng_stream_listener *, const char *, uint64_t);
int nng_stream_listener_set_string(nng_stream_listener *, const char *, const char *);
int nng_stream_listener_set_ptr(nng_stream_listener *, const char *, void *);
int nng_stream_listener_set_addr(nng_stream_listener *, const char *, const nng_sockaddr *);

// Datagrams.

int nng_udp_open(nng_udp **, nng_sockaddr *); // since 1.9.0
void nng_udp_close(nng_udp *); // since 1.9.0
int nng_udp_sockname(nng_udp *, nng_sockaddr *); // since 1.9.0
void nng_udp_send(nng_udp *, nng_aio *); // since 1.9.0
void nng_udp_recv(nng_udp *, nng_aio *); // since 1.9.0
int nng_udp_multicast_membership(nng_udp *, nng_sockaddr *, bool); // since 1.9.0

// Logging.

typedef enum nng_log_level {
    NNG_LOG_NONE, // since 1.8.0
    NNG_LOG_ERR, // since 1.8.0
    NNG_LOG_WARN, // since 1.8.0
    NNG_LOG_NOTICE, // since 1.8.0
    NNG_LOG_INFO, // since 1.8.0
    NNG_LOG_DEBUG, // since 1.8.0
    ...
} nng_log_level; // since 1.8.0

typedef enum nng_log_facility {
    NNG_LOG_USER, // since 1.8.0
    NNG_LOG_DAEMON, // since 1.8.0
    NNG_LOG_AUTH, // since 1.8.0
    NNG_LOG_LOCAL0, // since 1.8.0
    NNG_LOG_LOCAL1, // since 1.8.0
    NNG_LOG_LOCAL2, // since 1.8.0
    NNG_LOG_LOCAL3, // since 1.8.0
    NNG_LOG_LOCAL4, // since 1.8.0
    NNG_LOG_LOCAL5, // since 1.8.0
    NNG_LOG_LOCAL6, // since 1.8.0
    NNG_LOG_LOCAL7, // since 1.8.0
    ...
} nng_log_facility; // since 1.8.0

typedef void (*nng_logger)(nng_log_level, nng_log_facility, const char *, const char *); // since 1.8.0

void nng_null_logger(nng_log_level, nng_log_facility, const char *, const char *); // since 1.8.0
void nng_stderr_logger(nng_log_level, nng_log_facility, const char *, const char *); // since 1.8.0
void nng_system_logger(nng_log_level, nng_log_facility, const char *, const char *); // since 1.8.0
void nng_log_set_facility(nng_log_facility); // since 1.8.0
void nng_log_set_level(nng_log_level); // since 1.8.0
nng_log_level nng_log_get_level(void); // since 1.8.0
void nng_log_set_logger(nng_logger); // since 1.8.0
void nng_log_err(const char *, const char *, ...); // since 1.8.0
void nng_log_warn(const char *, const char *, ...); // since 1.8.0
void nng_log_notice(const char *, const char *, ...); // since 1.8.0
void nng_log_info(const char *, const char *, ...); // since 1.8.0
void nng_log_debug(const char *, const char *, ...); // since 1.8.0
void nng_log_auth(nng_log_level, const char *, const char *, ...); // since 1.8.0

// Deprecated, and left out of a library built with NNG_ELIDE_DEPRECATED.

int nng_msg_getopt(nng_msg *, int, void *, size_t *);
int nng_getopt(nng_socket, const char *, void *, size_t *);
int nng_getopt_bool(nng_socket, const char *, bool *);
int nng_getopt_int(nng_socket, const char *, int *);
int nng_getopt_ms(nng_socket, const char *, nng_duration *);
int nng_getopt_size(nng_socket, const char *, size_t *);
int nng_getopt_uint64(nng_socket, const char *, uint64_t *);
int nng_getopt_ptr(nng_socket, const char *, void **); // since 1.6.0
int nng_getopt_string(nng_socket, const char *, char **);
int nng_setopt(nng_socket, const char *, const void *, size_t);
int nng_setopt_bool(nng_socket, const char *, bool);
int nng_setopt_int(nng_socket, const char *, int);
int nng_setopt_ms(nng_socket, const char *, nng_duration);
int nng_setopt_size(nng_socket, const char *, size_t);
int nng_setopt_uint64(nng_socket, const char *, uint64_t);
int nng_setopt_string(nng_socket, const char *, const char *);
int nng_setopt_ptr(nng_socket, const char *, void *);
int nng_ctx_getopt(nng_ctx, const char *, void *, size_t *);
int nng_ctx_getopt_bool(nng_ctx, const char *, bool *);
int nng_ctx_getopt_int(nng_ctx, const char *, int *);
int nng_ctx_getopt_ms(nng_ctx, const char *, nng_duration *);
int nng_ctx_getopt_size(nng_ctx, const char *, size_t *);
int nng_ctx_setopt(nng_ctx, const char *, const void *, size_t);
int nng_ctx_setopt_bool(nng_ctx, const char *, bool);
int nng_ctx_setopt_int(nng_ctx, const char *, int);
int nng_ctx_setopt_ms(nng_ctx, const char *, nng_duration);
int nng_ctx_setopt_size(nng_ctx, const char *, size_t);
int nng_dialer_getopt(nng_dialer, const char *, void *, size_t *);
int nng_dialer_getopt_bool(nng_dialer, const char *, bool *);
int nng_dialer_getopt_int(nng_dialer, const char *, int *);
int nng_dialer_getopt_ms(nng_dialer, const char *, nng_duration *);
int nng_dialer_getopt_size(nng_dialer, const char *, size_t *);
int nng_dialer_getopt_sockaddr(nng_dialer, const char *, nng_sockaddr *);
int nng_dialer_getopt_uint64(nng_dialer, const char *, uint64_t *);
int nng_dialer_getopt_ptr(nng_dialer, const char *, void **);
int nng_dialer_getopt_string(nng_dialer, const char *, char **);
int nng_dialer_setopt(nng_dialer, const char *, const void *, size_t);
int nng_dialer_setopt_bool(nng_dialer, const char *, bool);
int nng_dialer_setopt_int(nng_dialer, const char *, int);
int nng_dialer_setopt_ms(nng_dialer, const char *, nng_duration);
int nng_dialer_setopt_size(nng_dialer, const char *, size_t);
int nng_dialer_setopt_uint64(nng_dialer, const char *, uint64_t);
int nng_dialer_setopt_ptr(nng_dialer, const char *, void *);
int nng_dialer_setopt_string(nng_dialer, const char *, const char *);
int nng_listener_getopt(nng_listener, const char *, void *, size_t *);
int nng_listener_getopt_bool(nng_listener, const char *, bool *);
int nng_listener_getopt_int(nng_listener, const char *, int *);
int nng_listener_getopt_ms(nng_listener, const char *, nng_duration *);
int nng_listener_getopt_size(nng_listener, const char *, size_t *);
int nng_listener_getopt_sockaddr(nng_listener, const char *, nng_sockaddr *);
int nng_listener_getopt_uint64(nng_listener, const char *, uint64_t *);
int nng_listener_getopt_ptr(nng_listener, const char *, void **);
int nng_listener_getopt_string(nng_listener, const char *, char **);
int nng_listener_setopt(nng_listener, const char *, const void *, size_t);
int nng_listener_setopt_bool(nng_listener, const char *, bool);
int nng_listener_setopt_int(nng_listener, const char *, int);
int nng_listener_setopt_ms(nng_listener, const char *, nng_duration);
int nng_listener_setopt_size(nng_listener, const char *, size_t);
int nng_listener_setopt_uint64(nng_listener, const char *, uint64_t);
int nng_listener_setopt_ptr(nng_listener, const char *, void *);
int nng_listener_setopt_string(nng_listener, const char *, const char *);
int nng_pipe_getopt(nng_pipe, const char *, void *, size_t *);
int nng_pipe_getopt_bool(nng_pipe, const char *, bool *);
int nng_pipe_getopt_int(nng_pipe, const char *, int *);
int nng_pipe_getopt_ms(nng_pipe, const char *, nng_duration *);
int nng_pipe_getopt_size(nng_pipe, const char *, size_t *);
int nng_pipe_getopt_sockaddr(nng_pipe, const char *, nng_sockaddr *);
int nng_pipe_getopt_uint64(nng_pipe, const char *, uint64_t *);
int nng_pipe_getopt_ptr(nng_pipe, const char *, void **);
int nng_pipe_getopt_string(nng_pipe, const char *, char **);
void nng_closeall(void);
int nng_stream_set_addr(nng_stream *, const char *, const nng_sockaddr *);
int nng_ctx_get_addr(nng_ctx, const char *, nng_sockaddr *);
int nng_ctx_set_addr(nng_ctx, const char *, const nng_sockaddr *);
