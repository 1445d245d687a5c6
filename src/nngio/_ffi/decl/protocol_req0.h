// Declares <nng/protocol/reqrep0/req.h>.

#define NNG_REQ0_SELF ...
#define NNG_REQ0_PEER ...
static const char *const NNG_REQ0_SELF_NAME;
static const char *const NNG_REQ0_PEER_NAME;

static const char *const NNG_OPT_REQ_RESENDTIME;
static const char *const NNG_OPT_REQ_RESENDTICK; // since 1.7.0

int nng_req0_open(nng_socket *);
int nng_req0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_req_open(nng_socket *);
int nng_req_open_raw(nng_socket *);
