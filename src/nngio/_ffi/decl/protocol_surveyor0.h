// Declares <nng/protocol/survey0/survey.h>.

#define NNG_SURVEYOR0_SELF ...
#define NNG_SURVEYOR0_PEER ...
static const char *const NNG_SURVEYOR0_SELF_NAME;
static const char *const NNG_SURVEYOR0_PEER_NAME;

static const char *const NNG_OPT_SURVEYOR_SURVEYTIME;

int nng_surveyor0_open(nng_socket *);
int nng_surveyor0_open_raw(nng_socket *);

// Macros that stand for the functions above.

int nng_surveyor_open(nng_socket *);
int nng_surveyor_open_raw(nng_socket *);
