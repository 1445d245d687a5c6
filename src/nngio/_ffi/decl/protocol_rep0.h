// Declares <nng/protocol/reqrep0/rep.h>.

#define NNG_REP0_SELF ...
#define NNG_REP0_PEER ...
static const char *const NNG_REP0_SELF_NAME;
static const char *const NNG_REP0_PEER_NAME;

int nng_rep0_open(nng_socket *);
int nng_rep0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_rep_open(nng_socket *);
int nng_rep_open_raw(nng_socket *);
