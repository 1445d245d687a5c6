// Declares <nng/protocol/pubsub0/sub.h>.

static const char *const NNG_OPT_SUB_SUBSCRIBE;
static const char *const NNG_OPT_SUB_UNSUBSCRIBE;
static const char *const NNG_OPT_SUB_PREFNEW;

int nng_sub0_open(nng_socket *);
int nng_sub0_open_raw(nng_socket *);
int nng_sub0_socket_subscribe(nng_socket, const void *, size_t); // since 1.10.0
int nng_sub0_socket_unsubscribe(nng_socket, const void *, size_t); // since 1.10.0
int nng_sub0_ctx_subscribe(nng_ctx, const void *, size_t); // since 1.10.0
int nng_sub0_ctx_unsubscribe(nng_ctx, const void *, size_t); // since 1.10.0

// Macros that stand for the functions above.

int nng_sub_open(nng_socket *);
int nng_sub_open_raw(nng_socket *);
