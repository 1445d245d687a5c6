// Declares <nng/protocol/pair1/pair.h>.

#define NNG_PAIR1_SELF ...
#define NNG_PAIR1_PEER ...
static const char *const NNG_PAIR1_SELF_NAME;
static const char *const NNG_PAIR1_PEER_NAME;

static const char *const NNG_OPT_PAIR1_POLY;

int nng_pair1_open(nng_socket *);
int nng_pair1_open_raw(nng_socket *);
int nng_pair1_open_poly(nng_socket *);
